"""Who wants to know of changes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Callable[..., None])


class Listeners(Generic[T]):
    """Callbacks of one kind. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[T] = []

    def add(self, callback: T) -> Callable[[], None]:
        """Have `callback` among those to call; returns what ends that."""
        with self._lock:
            self._callbacks.append(callback)

        def remove() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

        return remove

    def now(self) -> list[T]:
        """Those to call now, in the order in which they came."""
        with self._lock:
            return list(self._callbacks)
