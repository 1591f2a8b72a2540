"""Memory that a load frees is returned to the system."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

# Blocks of 1 MB between small ones that stay. Without trim_heap_after, the freed large blocks stay in the heap.
_LOAD = """
import contextlib, ctypes, sys, psutil
from modules.worker.malloc_trim import trim_heap_after
c = ctypes.CDLL(None)
c.malloc.restype = ctypes.c_void_p
c.free.argtypes = [ctypes.c_void_p]
c.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
# As while a program runs: once a large block was freed, glibc keeps blocks of that size in its heap.
c.free(c.malloc(8 << 20))
def load():
    large = []
    for _ in range(100):
        large.append(c.malloc(1 << 20))
        c.memset(large[-1], 1, 1 << 20)
        c.malloc(100_000)  # too large for a gap that importing left
    for block in large:
        c.free(block)
with (trim_heap_after() if sys.argv[1] == "returned" else contextlib.nullcontext()):
    load()
print(psutil.Process().memory_info().rss)
"""


def _resident(how: str) -> int:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", _LOAD, how]
    return int(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_freed_blocks_between_kept_ones_return_to_the_system() -> None:
    assert _resident("kept") - _resident("returned") > 80_000_000
