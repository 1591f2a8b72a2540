"""Who wants to know of changes."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

_LOG = logging.getLogger(__name__)
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

    def notify(self, *news: Any) -> None:
        """Call each with `news`, in the order in which they came. One that raises is logged; the others are called."""
        with self._lock:
            callbacks = list(self._callbacks)
        for callback in callbacks:
            try:
                callback(*news)
            except Exception:
                _LOG.exception("A listener failed.")
