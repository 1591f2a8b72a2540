"""Import ExLlamaV2, whose kernels torch compiles at the first import."""

from __future__ import annotations

from typing import Any

from modules.worker.hf.cuda_kernels import import_with_kernels


def import_engine() -> tuple[Any, Any]:
    """Return the modules (torch, exllamav2). Raises EnvironmentBroken."""
    torch, exl, _ = import_with_kernels("ExLlamaV2", "exllamav2", "exllamav2.generator", "load again")
    return torch, exl
