"""How llama.cpp's threads share the processor with everything else."""

from __future__ import annotations

import os
from pathlib import Path

# GNU OpenMP's own number for a process with the machine to itself. Fewer spins serve busy cores better, and cost a
# quiet machine up to a tenth of the rate (`python3 -m benchmarks overhead`, with GOMP_SPINCOUNT set).
_SPINS = "300000"


def wait_politely() -> None:
    """Before the engine is imported: its threads wait for each other awake for a bounded time, then asleep.

    When other programs want the cores, each of the hundred meetings in a token may cost a time slice; whoever runs
    Paddock on such a machine sets GOMP_SPINCOUNT lower. What the user has set stays.
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
