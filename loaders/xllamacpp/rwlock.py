"""Who uses the server, so that it is exchanged only while nobody does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Any number of users at once, or one who is alone. A user may enter again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._users = 0

    @contextmanager
    def use(self) -> Iterator[None]:
        """Inside, the server stays the same one."""
        with self._changed:
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside, nobody uses it; who comes meanwhile waits."""
        with self._changed:
            self._changed.wait_for(lambda: not self._users)
            yield
