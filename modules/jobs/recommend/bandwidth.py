"""The memory bandwidth of this machine, which bounds how fast a model writes: each token reads all weights once."""

from __future__ import annotations

import time

import numpy as np

from modules.system.threads import host_thread

_BYTES = 64 << 20  # of each thread; far beyond any cache
_TIMES = 3


def measure_bandwidth(threads: int) -> float:
    """Return the bytes per second that this many threads read from main memory together; the best of three rounds.

    Takes about half a second and `threads` × 64 MiB."""
    blocks = [np.ones(_BYTES // 8, np.int64) for _ in range(threads)]
    best = 0.0
    for _ in range(_TIMES):
        readers = [host_thread("bandwidth", block.max, "Measuring the memory's bandwidth") for block in blocks]
        started = time.perf_counter()
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        best = max(best, threads * _BYTES / (time.perf_counter() - started))
    return best


def tokens_per_second(bandwidth: float, read_bytes: int) -> float | None:
    """Return the most tokens per second that the bandwidth allows where each token reads `read_bytes`, or None.

    `read_bytes`: all weights but the embedding table, of which a token reads one row, and the filled part of the KV
    cache. Small models stay below this, as other work per token then counts."""
    return bandwidth / read_bytes if bandwidth and read_bytes else None
