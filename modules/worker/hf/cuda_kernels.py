"""Prepare the compilation of an engine's CUDA kernels, which torch runs at the engine's first import."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modules.protocol.errors import EnvironmentBroken
from modules.worker.thread_count import processor_count

# Main memory that one compiler may take.
_JOB_BYTES = 2 << 30


@contextmanager
def prepare_compilation(extension: str) -> Iterator[None]:
    """Set up compilers and paths while an engine is imported. `extension`: torch's name of its kernels.

    The kernels are stored in this environment and removed with it. One process at a time compiles them.
    """
    from filelock import FileLock

    prefix = Path(sys.prefix)
    folder = Path(os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(prefix / "torch_extensions")))
    folder.mkdir(parents=True, exist_ok=True)
    # nvcc on the path may be a wrapper, and torch would search for the toolkit beside it.
    if not os.environ.get("CUDA_PATH") and Path("/usr/local/cuda/bin/nvcc").exists():
        os.environ.setdefault("CUDA_HOME", "/usr/local/cuda")
    # torch's headers include those of cuBLAS, cuSPARSE and cuSOLVER, which a minimal toolkit lacks. torch's packages
    # have them.
    headers = [str(path) for path in sorted(prefix.glob("lib/python*/site-packages/nvidia/*/include"))]
    previous = os.environ.get("CPLUS_INCLUDE_PATH")
    if headers:
        os.environ["CPLUS_INCLUDE_PATH"] = os.pathsep.join([*([previous] if previous else []), *headers])
    os.environ.setdefault("MAX_JOBS", str(_jobs()))
    with FileLock(folder / "paddock.lock"):
        # A killed compilation leaves its lock, for which torch would wait forever.
        (folder / extension / "lock").unlink(missing_ok=True)
        yield


def import_with_kernels(title: str, engine: str, part: str, retry: str) -> tuple[Any, Any, Any]:
    """Return the modules torch, `engine`, whose kernels are named `engine`_ext, and `part`, a module of it.

    `title`: the engine's name for people; `retry`: what to do once it starts. Raises EnvironmentBroken.
    """
    try:
        torch = importlib.import_module("torch")
        with prepare_compilation(f"{engine}_ext"):
            module = importlib.import_module(engine)
        return torch, module, importlib.import_module(part)
    except (ImportError, OSError, RuntimeError) as error:
        raise EnvironmentBroken(
            f"{title} cannot start. To compile its CUDA kernels it needs an NVIDIA card with its driver, the CUDA "
            f"toolkit (nvcc) and a C++ compiler. Install what the details name, then {retry}.",
            detail=traceback.format_exc(),
        ) from error


def _jobs() -> int:
    """Return how many compilers may run at once, by the number of processors and main memory."""
    processors = processor_count()
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return processors
    return max(1, min(processors, memory // _JOB_BYTES))
