"""ExLlamaV2's kernels, which torch compiles at the first import: what its compilers must find, and where they write."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modules.worker.thread_count import processor_count

# What one compiler may take of main memory.
_JOB_BYTES = 2 << 30


@contextmanager
def prepare_compilation() -> Iterator[None]:
    """Around the import. The kernels lie in this environment, and go with it; one process at a time compiles them."""
    from filelock import FileLock

    prefix = Path(sys.prefix)
    folder = Path(os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(prefix / "torch_extensions")))
    folder.mkdir(parents=True, exist_ok=True)
    # nvcc on the path may be a wrapper, and torch would look for the toolkit around it.
    if not os.environ.get("CUDA_PATH") and Path("/usr/local/cuda/bin/nvcc").exists():
        os.environ.setdefault("CUDA_HOME", "/usr/local/cuda")
    # torch's headers want cuBLAS's, cuSPARSE's and cuSOLVER's. A bare toolkit lacks them; torch brought them along.
    headers = [str(path) for path in sorted(prefix.glob("lib/python*/site-packages/nvidia/*/include"))]
    given = os.environ.get("CPLUS_INCLUDE_PATH")
    if headers:
        os.environ["CPLUS_INCLUDE_PATH"] = os.pathsep.join([*([given] if given else []), *headers])
    os.environ.setdefault("MAX_JOBS", str(_jobs()))
    with FileLock(folder / "paddock.lock"):
        # A compilation that was killed leaves its lock, for which torch would wait without end.
        (folder / "exllamav2_ext" / "lock").unlink(missing_ok=True)
        yield


def _jobs() -> int:
    """As many compilers as there are processors, and memory for."""
    processors = processor_count()
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has none
        return processors
    return max(1, min(processors, memory // _JOB_BYTES))
