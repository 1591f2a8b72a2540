"""A lock for the server: shared by its users, exclusive while it is replaced."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ReadWriteLock:
    """Held by any number of readers, or by one writer. A reader may enter again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0

    @contextmanager
    def read(self) -> Iterator[None]:
        """Hold the lock as one of its readers."""
        with self._changed:
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Wait for all readers to leave, and hold the lock alone. New readers wait."""
        with self._changed:
            self._changed.wait_for(lambda: not self._readers)
            yield
