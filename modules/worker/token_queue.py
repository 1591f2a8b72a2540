"""From the thread of an engine to the thread of a reply, which wakes for what matters, not for each token."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from modules.worker.event_writer import BATCH_SECONDS

T = TypeVar("T")


class TokenQueue(Generic[T]):
    """A queue between two threads. A wake-up takes a core away from the engine for some tens of microseconds, and text
    gathers on its way to the host anyway; so items gather here."""

    def __init__(self, gather: float = BATCH_SECONDS) -> None:
        self._gather = gather
        self._items: deque[T] = deque()
        self._wake = threading.Event()
        self._taken = -math.inf

    def put(self, item: T, last: bool = False) -> None:
        """Hand an item over: at once if it is the last one, or where none was taken for a while; else with the next."""
        self._items.append(item)
        if last or time.monotonic() - self._taken > self._gather:
            self._wake.set()

    def batches(self, cancelled: threading.Event) -> Iterator[list[T]]:
        """What gathered, as it comes, without end; cancelling ends it within the time that items gather."""
        while not cancelled.is_set():
            self._wake.wait(self._gather)
            self._wake.clear()
            if self._items and not cancelled.is_set():
                self._taken = time.monotonic()
                yield [self._items.popleft() for _ in range(len(self._items))]

    def items(self, cancelled: threading.Event) -> Iterator[T]:
        """The same, one by one."""
        for items in self.batches(cancelled):
            for item in items:
                if cancelled.is_set():
                    return
                yield item
