"""The most memory that a worker held, from its first breath to its end."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import psutil

_LOOK_SECONDS = 0.1
# Written to /proc/PID/clear_refs it sets the kernel's high-water mark (VmHWM) to what is held now: man 5 proc.
_RESET_PEAK = "5"


class MemoryWatch:
    """Watches the process `pid` and its children; `loaded` is to be called once when the load is over.

    While loading, pages of mapped files are not counted: engines map the weights to copy them, and the system takes
    such pages back for nothing. Afterwards all counts, mapped weights and libraries too, as replies need them. From
    then on the kernel itself keeps the peak (Linux); elsewhere what is held when `peak` is called counts.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._own = self._files = self.at_load = 0
        self._thread = threading.Thread(target=self._look, name="memory watch", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self._own = max(self._own, sum(resident - shared for resident, shared in self._held()))

    def loaded(self) -> int:
        """Bytes held now, all counted; the peak of replies begins here."""
        self.close()
        held = self._held()
        self.at_load = sum(resident for resident, _ in held)
        self._files = sum(shared for _, shared in held)
        for process in _family(self._pid):
            with contextlib.suppress(OSError):
                Path(f"/proc/{process.pid}/clear_refs").write_text(_RESET_PEAK)
        return self.at_load

    def peak(self) -> int:
        """The most bytes held so far; 0 if the load never ended."""
        if not self.at_load:
            return 0
        now = sum(map(_high_water, _family(self._pid)))
        return max(self._own + self._files, self.at_load, now)

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _held(self) -> list[tuple[int, int]]:
        """(resident, of that in files) bytes of each process; where the system tells no files, they are 0."""
        found = []
        for process in _family(self._pid):
            with contextlib.suppress(psutil.Error):
                memory = process.memory_info()
                found.append((int(memory.rss), int(getattr(memory, "shared", 0))))
        return found


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def _high_water(process: psutil.Process) -> int:
    """Linux: the most that was resident since the mark was set; elsewhere what is resident now."""
    try:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
