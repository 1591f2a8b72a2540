"""Return memory of the C heap to the system after a load."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# mallopt(3): parameters, and the values that glibc chooses by default for a program with large blocks.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_USUAL = 32 << 20
_WHILE_LOADING = 256 << 10


@contextmanager
def trim_heap_after() -> Iterator[None]:
    """Return freed memory to the system after the load in this context.

    glibc keeps freed blocks of up to 32 MB in its heap. Without this, packing a model while it loads would keep memory
    for the unpacked weights beside the packed ones. Other allocators are not changed.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_THRESHOLD, _WHILE_LOADING)
    try:
        yield
    finally:
        gc.collect()
        if library is not None:
            library.mallopt(_MMAP_THRESHOLD, _USUAL)
            library.mallopt(_TRIM_THRESHOLD, 2 * _USUAL)
            library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None
