"""Measures the memory of a worker, from its start to its end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection
from pathlib import Path

import psutil

from modules.system.threads import host_thread

_SAMPLE_SECONDS = 0.1
OnCards = Callable[[Collection[int]], int]
# Written to /proc/PID/clear_refs (man 5 proc): clear the referenced bits of all pages, and reset the kernel's
# high-water mark (VmHWM) to the current memory.
_CLEAR_REFS = ("1", "5")


class MemoryWatch:
    """Measures the process `pid` and its children. Call `record_load` once, when the load has ended.

    While the model loads, pages of mapped files do not count: engines map the weights to copy them, and the system can
    drop such pages at no cost. After the load everything counts except pages of the model's own files, at `path`, that
    no reply has read (llama.cpp repacks some types into separate memory and leaves the file mapped). On Linux the
    kernel records the peak from then on. On other systems `usage` counts what is resident when it is called, with all
    mapped pages. `on_cards` returns the bytes of graphics cards that processes use; None without cards.
    """

    def __init__(self, pid: int, path: str, on_cards: OnCards | None = None) -> None:
        self._pid, self._path, self._on_cards = pid, path, on_cards
        self._cards_at_load = self._cards_peak = 0
        self._over = threading.Event()
        self._own = self._files = self._at_load = 0
        self._thread = host_thread("memory watch", self._sample, "Watching the worker's memory")
        self._thread.start()

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            self._own = max(self._own, self.private_bytes())
            self._cards_peak = max(self._cards_peak, self.card_bytes())

    def record_load(self) -> int:
        """Record resident memory after the load, then start tracking the peak. Return the resident bytes."""
        self.close()
        resident = self._resident()
        self._cards_at_load = self.card_bytes()
        self._at_load = sum(total for total, _ in resident)
        self._files = sum(shared for _, shared in resident)
        for process in _family(self._pid):
            for order in _CLEAR_REFS:
                with contextlib.suppress(OSError):
                    Path(f"/proc/{process.pid}/clear_refs").write_text(order)
        return self._at_load

    def usage(self) -> tuple[int, int]:
        """Return the bytes right after the load, and the peak so far.

        Return (0, 0) if the load has not ended, or if the model's files are mapped and no reply has read them: what
        replies need of them is not known then.
        """
        family = _family(self._pid)
        mapped, read = _mapped([process.pid for process in family], self._path)
        if not self._at_load or (mapped and not read):
            return 0, 0
        idle = mapped - read
        most = max(self._own + self._files, self._at_load, sum(map(_high_water, family)))
        return self._at_load - idle, most - idle

    def card_usage(self) -> tuple[int, int]:
        """Return the bytes on all graphics cards right after the load, and the peak so far: (0, 0) if not known."""
        self._cards_peak = max(self._cards_peak, self.card_bytes())
        return (self._cards_at_load, self._cards_peak) if self._cards_at_load else (0, 0)

    def card_bytes(self) -> int:
        """Return the bytes of all graphics cards that the process and its children use now; 0 if not known."""
        return self._on_cards([process.pid for process in _family(self._pid)]) if self._on_cards else 0

    def private_bytes(self) -> int:
        """Return the resident bytes now without pages of files, which the system counts as available."""
        return sum(total - shared for total, shared in self._resident())

    def peak_so_far(self) -> int:
        """Return the most memory so far, without pages of the model's own files, for work other than a load."""
        resident = self._resident()
        own = max(self._own, sum(total - shared for total, shared in resident))
        files = (
            sum(shared for _, shared in resident)
            - _mapped([process.pid for process in _family(self._pid)], self._path)[0]
        )
        return own + max(0, files)

    def close(self) -> None:
        """Stop sampling."""
        self._over.set()
        self._thread.join()

    def _resident(self) -> list[tuple[int, int]]:
        """Return (resident bytes, those of mapped files) of each process; 0 for the files if it is not known."""
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
    """Return the peak of resident bytes since the mark was reset (Linux), or the resident bytes now (elsewhere)."""
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
    """Return (resident bytes, those referenced since the load) of the model's files in these processes; (0, 0) if the
    system does not say."""
    found = {"Rss:": 0, "Referenced:": 0}
    for pid in pids:
        is_model = False
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps").read_text(errors="replace").splitlines():
                name, _, rest = line.partition(" ")
                if not name.endswith(":"):  # the first line of a mapping: addresses, rights, ..., file
                    is_model = path in line
                elif is_model and name in found:
                    found[name] += int(rest.split()[0]) << 10
    return found["Rss:"], found["Referenced:"]
