"""The C heap while a model loads: what a load needed and a reply does not goes back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# mallopt(3): parameters, and the values that glibc itself arrives at while large blocks come and go.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_USUAL = 32 << 20
_WHILE_LOADING = 256 << 10


@contextmanager
def trim_heap_after() -> Iterator[None]:
    """A load in here leaves no empty pages behind. (glibc keeps freed blocks of up to 32 MB in its heap, so that
    packing a model while it loads would hold the whole weights beside the packed ones, and go on doing so.)

    Elsewhere than on glibc the allocator is left alone.
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


def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None
