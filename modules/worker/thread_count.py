"""Chooses the number of threads for a model."""

from __future__ import annotations

from pathlib import Path

from modules.system.processors import available_processors

# Bytes of weights that one core reads in about three milliseconds.
_SMALL = 32 << 20


def single_thread_is_fastest(weights: int) -> bool:
    """Return True if one thread computes a model with `weights` bytes fastest.

    Several threads wait for each other at every layer, longer than a layer of a small model takes. If another program
    uses one of the cores, each wait can last a time slice: the demo model then falls from 2,000 tokens per second to 2.
    """
    return weights < _SMALL


def processor_count() -> int:
    """Return the number of processors that this process may use."""
    return len(available_processors())


def physical_core_count() -> int:
    """Return the number of physical cores that this process may use, or of processors if the system does not report
    cores."""
    available = available_processors()
    siblings = set()
    for cpu in available:
        try:
            text = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
        except OSError:
            return max(1, len(available))
        siblings.add(text.strip())
    return max(1, len(siblings))
