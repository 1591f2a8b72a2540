"""vLLM's worker for the CPU, in processes that vLLM starts. They import this file and nothing else of Paddock."""

from __future__ import annotations

import torch
from vllm.v1.worker.cpu_worker import CPUWorker


class AmxWorker(CPUWorker):  # type: ignore[misc]
    """Asks the system to let its process use AMX, as `allow_amx` does for Paddock's own process."""

    def __init__(self, *args: object, **named: object) -> None:
        torch.cpu._init_amx()
        super().__init__(*args, **named)
