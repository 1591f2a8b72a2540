"""Import ExLlamaV2, whose kernels torch compiles at the first import."""

from __future__ import annotations

import importlib
import traceback
from typing import Any

from modules.protocol.errors import EnvironmentBroken
from modules.worker.hf.cuda_kernels import prepare_compilation


def import_engine() -> tuple[Any, Any]:
    """Return the modules (torch, exllamav2). Raises EnvironmentBroken."""
    try:
        torch = importlib.import_module("torch")
        with prepare_compilation("exllamav2_ext"):
            exl = importlib.import_module("exllamav2")
        importlib.import_module("exllamav2.generator")
        return torch, exl
    except (ImportError, OSError, RuntimeError) as error:
        raise EnvironmentBroken(
            "ExLlamaV2 cannot start. To compile its CUDA kernels it needs an NVIDIA card with its driver, the CUDA "
            "toolkit (nvcc) and a C++ compiler. Install what the details name, then load again.",
            detail=traceback.format_exc(),
        ) from error
