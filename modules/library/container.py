"""Read the limits of a container or a service on this process: Linux control groups, versions 1 and 2."""

from __future__ import annotations

from pathlib import Path


class ControlGroups:
    """Reads the limits under `mount` (/sys/fs/cgroup) for the process whose groups the file `own` lists."""

    def __init__(self, mount: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> None:
        self._mount, self._own = mount, own

    def processors(self) -> float:
        """Return how many processors' time this process may use; 0 for no limit."""
        words = self._read("", "cpu.max").split()  # version 2: "200000 100000", or "max 100000"
        if len(words) != 2:
            words = [self._read("cpu", f"cpu.cfs_{part}_us") for part in ("quota", "period")]
        quota, period = (int(word) if word.isdigit() else 0 for word in words)
        return quota / period if quota and period else 0.0

    def memory(self) -> tuple[int, int]:
        """Return (limit, used) in bytes, without reclaimable page cache; (0, 0) for no limit."""
        for room, limit_name, used_name, cache_name in (
            ("", "memory.max", "memory.current", "inactive_file"),
            ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, used = self._read(room, limit_name), self._read(room, used_name)
            if limit.isdigit() and used.isdigit() and int(limit) < 2**60:
                stat = dict(line.split(" ", 1) for line in self._read(room, "memory.stat").splitlines() if " " in line)
                cache = stat.get(cache_name, "0")
                return int(limit), max(0, int(used) - (int(cache) if cache.isdigit() else 0))
        return 0, 0

    def _read(self, room: str, name: str) -> str:
        """Read a file of this process's group in `room` ("": version 2), or of the mount inside a container."""
        folder = ""
        for line in _text(self._own).splitlines():
            parts = line.split(":", 2)
            if len(parts) == 3 and room in parts[1].split(","):
                folder = parts[2].strip("/")
        return _text(self._mount / room / folder / name) or _text(self._mount / room / name)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
