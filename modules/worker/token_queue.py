"""A queue from an engine's thread to a reply's thread. It batches tokens, so that not each one wakes the reader."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from modules.worker.batch_pace import BatchPace

T = TypeVar("T")


class TokenQueue(Generic[T]):
    """A queue between two threads that passes items on in batches of as many seconds as `pace` says.

    A wake-up takes tens of microseconds of a core from the engine, and text is batched on its way to the host anyway.
    """

    def __init__(self, pace: BatchPace | None = None) -> None:
        self._pace = pace or BatchPace()
        self._items: deque[T] = deque()
        self._wake = threading.Event()
        self._taken = -math.inf

    def put(self, item: T, last: bool = False) -> None:
        """Add an item. It is passed on at once if it is the last, or if none was taken for the time of a batch."""
        self._items.append(item)
        if last or time.monotonic() - self._taken > self._pace.seconds:
            self._wake.set()

    def batches(self, cancelled: threading.Event) -> Iterator[list[T]]:
        """Yield batches of items until cancelled. Cancelling takes effect within the time of one."""
        while not cancelled.is_set():
            self._wake.wait(self._pace.seconds)
            self._wake.clear()
            if self._items and not cancelled.is_set():
                self._taken = time.monotonic()
                yield [self._items.popleft() for _ in range(len(self._items))]

    def items(self, cancelled: threading.Event) -> Iterator[T]:
        """Yield the items one by one until cancelled."""
        for items in self.batches(cancelled):
            for item in items:
                if cancelled.is_set():
                    return
                yield item
