"""This machine as far as it can be told without torch, and the memory of a process."""

from __future__ import annotations

import math
import platform
from pathlib import Path

import psutil

from modules.library.accelerators import find_gpus
from modules.library.container import ControlGroups
from modules.protocol.model_facts import Gpu, Machine
from modules.system.processors import available_processors


def inspect_machine() -> Machine:
    """What is here now; a container's limits count. Asks the accelerators' own tools, which may take a second.

    Free memory is what can be had without swapping, at this moment.
    """
    system, architecture = platform.system().lower(), platform.machine()
    groups = ControlGroups()
    memory = psutil.virtual_memory()
    total, free = int(memory.total), int(memory.available)
    limit, used = groups.memory()
    if limit:
        total, free = min(total, limit), min(free, max(0, limit - used))
    gpus = find_gpus()
    if system == "darwin" and architecture == "arm64":  # the GPU shares the machine's memory
        gpus.append(Gpu("metal", "Apple silicon", total, free))
    return Machine(
        system, architecture, _processors(groups.processors()), total, free, tuple(gpus), _computes_bfloat16()
    )


def _computes_bfloat16() -> bool:
    """As torch tells it on x86 (avx512_bf16 or amx); other processors are taken not to."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_tile" in flags


def _processors(quota: float) -> int:
    """Processors that this process may use, by its affinity and by a container's quota (0: none)."""
    count = len(available_processors())
    return max(1, min(count, math.ceil(quota))) if quota else count


def process_memory(pid: int) -> int:
    """Resident bytes of a process and of its children; 0 once it is gone."""
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(_resident(process) for process in family)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
