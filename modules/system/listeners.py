"""Callbacks for changes. One callback that raises does not stop the others."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_LOG = logging.getLogger(__name__)
T = TypeVar("T", bound=Callable[..., None])


class Listeners(Generic[T]):
    """Callbacks of one kind. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[T] = []

    def add(self, callback: T) -> Callable[[], None]:
        """Add a callback. Return a function that removes it."""
        with self._lock:
            self._callbacks.append(callback)

        def remove() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

        return remove

    def notify(self, *arguments: object) -> None:
        """Call every callback with `arguments`, in the order in which they were added. Log what one of them raises."""
        with self._lock:
            callbacks = list(self._callbacks)
        for callback in callbacks:
            try:
                callback(*arguments)
            except Exception:
                _LOG.exception("A listener failed.")
