"""Estimate a load's progress from the process's memory, since llama.cpp's server does not report it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modules.worker.engine import Report

_LOOK_SECONDS = 0.2
# After the file come the KV cache and a warm-up run.
_FILE_SHARE = 0.9


def _peak_bytes() -> int:
    """Return the peak memory of this process in bytes; 0 if the system does not report it."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def report_load_progress(path: Path, report: Report) -> Iterator[None]:
    """Report the progress of the load that happens inside the block."""
    size, before, done = max(1, path.stat().st_size), _peak_bytes(), threading.Event()

    def look() -> None:
        while not done.wait(_LOOK_SECONDS):
            share = (_peak_bytes() - before) / size
            report("Loading the model", min(_FILE_SHARE, share * _FILE_SHARE) if before else None)

    watcher = threading.Thread(target=look, name="load progress", daemon=True)
    report("Loading the model", 0.0 if before else None)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
