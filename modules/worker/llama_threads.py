"""How llama.cpp's threads share the processor with everything else."""

from __future__ import annotations

import os
from pathlib import Path


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
