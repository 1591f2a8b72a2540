"""How llama.cpp's threads share the processor with everything else."""

from __future__ import annotations

import os
from pathlib import Path

# About a millisecond: longer than the worker takes between two tokens, shorter than a time slice.
_SPINS = "30000"


def wait_politely() -> None:
    """Before the engine is imported: its threads shall wait for each other awake only a moment, then asleep.

    By default GNU OpenMP spins for milliseconds. When anything else wants the cores (the page, a browser, another
    program) each of the hundred meetings in a token then costs a time slice: on 2 busy cores we saw 5 tokens a second
    instead of 15. What the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def real_cores() -> int:
    """Processor cores that this process may use, counting those that run two threads once where the system says so."""
    available = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    siblings = set()
    for cpu in available:
        try:
            text = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
        except OSError:
            return max(1, len(available))
        siblings.add(text.strip())
    return max(1, len(siblings))
