"""Inspect this machine without torch, and measure the memory of a process."""

from __future__ import annotations

import math
import os
import platform
import shutil
from pathlib import Path

import psutil

from modules.library.accelerators import find_gpus
from modules.library.container import ControlGroups
from modules.library.vulkan_cards import has_vulkan
from modules.protocol.model_facts import Gpu, Machine
from modules.system.processors import available_processors

# Of CUDA, ROCm and Vulkan.
_COMPILERS = ("nvcc", "hipcc", "glslc")


def inspect_machine() -> Machine:
    """Return this machine's processors, memory and accelerators, within a container's limits.

    Runs the accelerators' tools, which may take a second. Free memory is what is available now without swapping.
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
        system,
        architecture,
        _processors(groups.processors()),
        total,
        free,
        tuple(gpus),
        _computes_bfloat16(),
        has_vulkan(),
        _glibc(),
        tuple(filter(shutil.which, _COMPILERS)),
    )


def _glibc() -> str:
    """Return the version of glibc, "" if the C library is another one."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        return ""
    return text.removeprefix("glibc ")


def _computes_bfloat16() -> bool:
    """Return True for x86 processors with avx512_bf16 or AMX, as torch does; False for others."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_tile" in flags


def _processors(quota: float) -> int:
    """Return how many processors this process may use, by its affinity and a container's quota (0: none)."""
    count = len(available_processors())
    return max(1, min(count, math.ceil(quota))) if quota else count


def process_memory(pid: int) -> int:
    """Return the resident bytes of a process and its children; 0 if it has ended."""
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
