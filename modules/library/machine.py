"""This machine as far as it can be told without torch: processors, memory, accelerators; containers respected."""

from __future__ import annotations

import math
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil

from modules.protocol.model import Gpu, Machine

_CGROUP = Path("/sys/fs/cgroup")
_SECONDS = 10.0


def inspect_machine() -> Machine:
    """What is here now. Asks the accelerators' own tools, which may take a second. Free memory is that of now."""
    system = platform.system().lower()
    memory = psutil.virtual_memory()
    limit, used = _memory_limit()
    total = min(memory.total, limit) if limit else memory.total
    free = min(memory.available, max(0, limit - used)) if limit else memory.available
    gpus = (*_nvidia(), *_rocm(), *_metal(system, total, free))
    return Machine(system, platform.machine(), _cpus(), total, free, gpus)


def process_memory(pid: int) -> int:
    """Resident bytes of a process and its children; 0 once it is gone."""
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


def _cpus() -> int:
    """Processors this process may use: its affinity and a container's quota count."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        count = os.cpu_count() or 1
    quota = _cpu_quota()
    return max(1, min(count, math.ceil(quota))) if quota else count


def _cpu_quota() -> float:
    """Processors a container may use, 0 where nothing limits it."""
    words = _first_line(*_own("cpu.max", "")).split()  # version 2: "200000 100000"
    if len(words) != 2:  # version 1
        words = [_first_line(*_own(f"cpu.cfs_{part}_us", "cpu")) for part in ("quota", "period")]
    quota, period = (int(word) if word.isdigit() else 0 for word in words)
    return quota / period if quota and period else 0.0


def _memory_limit() -> tuple[int, int]:
    """(limit, used) of a container in bytes, (0, 0) where nothing limits it."""
    for limit_file, used_file, room in (
        ("memory.max", "memory.current", ""),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory"),
    ):
        limit, used = _first_line(*_own(limit_file, room)), _first_line(*_own(used_file, room))
        if limit.isdigit() and used.isdigit() and int(limit) < 2**60:
            return int(limit), max(0, int(used) - _cache(room))
    return 0, 0


def _cache(room: str) -> int:
    """Bytes of page cache that count as used but that the kernel gives back at need."""
    for path in _own("memory.stat", room):
        for line in _lines(path):
            key, _, value = line.partition(" ")
            if key in ("inactive_file", "total_inactive_file") and value.isdigit():
                return int(value)
    return 0


def _own(name: str, room: str) -> list[Path]:
    """Where the control group of this process keeps `name`: its own folder, or the mount's, as inside a container."""
    folder = ""
    for line in _lines(Path("/proc/self/cgroup")):
        _, rooms, path = [*line.split(":", 2), "", ""][:3]
        if room in rooms.split(","):
            folder = path.strip("/")
    mount = _CGROUP / room
    return [mount / folder / name, mount / name]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _first_line(*paths: Path) -> str:
    return next((lines[0].strip() for path in paths if (lines := _lines(path))), "")


def _run(command: Sequence[str]) -> str:
    """What a tool prints, "" if it is absent, fails or hangs."""
    if not shutil.which(command[0]):
        return ""
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout if result.returncode == 0 else ""


def _nvidia() -> list[Gpu]:
    return parse_nvidia(
        _run(["nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"])
    )


def parse_nvidia(output: str) -> list[Gpu]:
    """Lines such as "NVIDIA H200, 143771, 143000" (MiB); cards that do not tell their memory count with 0."""
    rows = [[part.strip() for part in line.rsplit(",", 2)] for line in output.splitlines() if line.count(",") >= 2]
    return [Gpu("cuda", name, _mib(total), _mib(free)) for name, total, free in rows]


def _mib(word: str) -> int:
    return int(word) << 20 if word.isdigit() else 0


def _rocm() -> list[Gpu]:
    return parse_rocm(_run(["rocm-smi", "--showproductname", "--showmeminfo", "vram", "--csv"]))


def parse_rocm(output: str) -> list[Gpu]:
    """A CSV table with a header line, one card a line, memory in bytes."""
    rows = [line.split(",") for line in output.splitlines() if "," in line]
    if len(rows) < 2:
        return []
    gpus = []
    for row in rows[1:]:
        card = dict(zip((head.strip().lower() for head in rows[0]), (cell.strip() for cell in row), strict=False))
        total = _bytes(next((value for key, value in card.items() if "total memory" in key), ""))
        used = _bytes(next((value for key, value in card.items() if "used memory" in key), ""))
        name = card.get("card series") or card.get("card model") or card.get("device", "AMD GPU")
        gpus.append(Gpu("rocm", name, total, max(0, total - used)))
    return gpus


def _bytes(word: str) -> int:
    return int(word) if word.isdigit() else 0


def _metal(system: str, total: int, free: int) -> list[Gpu]:
    """Apple silicon: the GPU shares the machine's memory."""
    if system == "darwin" and platform.machine() == "arm64":
        return [Gpu("metal", "Apple silicon", total, free)]
    return []
