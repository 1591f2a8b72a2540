"""The most memory that a worker held, from its first breath to its end."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import psutil

from modules.system.threads import host_thread

_LOOK_SECONDS = 0.1
# Written to /proc/PID/clear_refs (man 5 proc): no page counts as referenced any more, and the kernel's high-water mark
# (VmHWM) is what is held now.
_AT_LOAD = ("1", "5")


class MemoryWatch:
    """Watches the process `pid` and its children; `record_load` is to be called once when the load is over.

    While loading, pages of mapped files are not counted: engines map the weights to copy them, and the system takes
    such pages back for nothing. Afterwards all counts but pages of the model's own files, at `path`, that no reply read
    (llama.cpp repacks some types into memory of its own and leaves the file mapped). From then on the kernel itself
    keeps the peak (Linux); elsewhere what is held when `peak` is called counts, with all that is mapped.
    """

    def __init__(self, pid: int, path: str) -> None:
        self._pid, self._path = pid, path
        self._over = threading.Event()
        self._own = self._files = self._at_load = 0
        self._thread = host_thread("memory watch", self._look, "Watching the worker's memory")
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self._own = max(self._own, sum(resident - shared for resident, shared in self._resident()))

    def record_load(self) -> int:
        """Bytes held now, all counted; the peak of replies begins here."""
        self.close()
        held = self._resident()
        self._at_load = sum(resident for resident, _ in held)
        self._files = sum(shared for _, shared in held)
        for process in _family(self._pid):
            for order in _AT_LOAD:
                with contextlib.suppress(OSError):
                    Path(f"/proc/{process.pid}/clear_refs").write_text(order)
        return self._at_load

    def usage(self) -> tuple[int, int]:
        """Bytes held right after the load, and the most so far; (0, 0) if the load never ended, or if the model's files
        are mapped and nobody read them yet, so that it cannot be told what replies need of them."""
        family = _family(self._pid)
        mapped, read = _mapped([process.pid for process in family], self._path)
        if not self._at_load or (mapped and not read):
            return 0, 0
        idle = mapped - read
        most = max(self._own + self._files, self._at_load, sum(map(_high_water, family)))
        return self._at_load - idle, most - idle

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _resident(self) -> list[tuple[int, int]]:
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


def _mapped(pids: list[int], path: str) -> tuple[int, int]:
    """(resident, of that referenced since the load) bytes of the model's files in these processes; (0, 0) where the
    system does not tell."""
    found = {"Rss:": 0, "Referenced:": 0}
    for pid in pids:
        ours = False
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps").read_text(errors="replace").splitlines():
                name, _, rest = line.partition(" ")
                if not name.endswith(":"):  # the first line of a mapping: addresses, rights, ..., file
                    ours = path in line
                elif ours and name in found:
                    found[name] += int(rest.split()[0]) << 10
    return found["Rss:"], found["Referenced:"]
