"""How far a load is, from the memory that the model's file has come to fill: llama.cpp's server does not tell."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modules.worker.engine import Report

_LOOK_SECONDS = 0.2
# Behind the file come the context's cache and a first run to warm up.
_FILE_SHARE = 0.9


def _peak_bytes() -> int:
    """The most memory that this process ever filled; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def reading(path: Path, report: Report) -> Iterator[None]:
    """Reports the progress of the load that happens inside."""
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
