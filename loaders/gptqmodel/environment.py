"""The environment variables that GPTQModel reads when it is imported."""

from __future__ import annotations

import os

from modules.worker.compiled_code import compiled_folder, keep_compiled
from modules.worker.thread_count import processor_count


def prepare_environment() -> None:
    """Set them, before the import: two threads that load, and compiled kernels in this environment.

    Without the first, it requires three cores. What is compiled is removed with the environment.
    """
    os.environ["GPTQMODEL_CPU_WORKERS"] = str(max(2, processor_count() // 2))
    os.environ.setdefault("GPTQMODEL_TORCH_EXTENSIONS_DIR", str(compiled_folder()))
    keep_compiled(compiled_folder())
