"""The processors that this process may use. Standard library only."""

from __future__ import annotations

import os


def available_processors() -> set[int]:
    """Return the numbers of the processors in this process's affinity mask, or of all where the system has none."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))  # macOS and Windows
