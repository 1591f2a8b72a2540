"""Who wants to know when a chat changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_LOG = logging.getLogger(__name__)


class ChatListeners:
    """Callbacks by chat; those under "" hear of every chat. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[str, list[Callable[[], None]]] = {}

    def add(self, chat_id: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` at each change of the chat, from any thread; returns what ends that."""
        with self._lock:
            self._callbacks.setdefault(chat_id, []).append(callback)

        def remove() -> None:
            with self._lock:
                callbacks = self._callbacks.get(chat_id, [])
                if callback in callbacks:
                    callbacks.remove(callback)
                if not callbacks:
                    self._callbacks.pop(chat_id, None)

        return remove

    def notify(self, chat_id: str) -> None:
        """The chat changed."""
        with self._lock:
            callbacks = [*self._callbacks.get(chat_id, ()), *self._callbacks.get("", ())]
        for callback in callbacks:
            try:
                callback()
            except Exception:
                # One page's fault is not the chat's, nor another page's.
                _LOG.exception("A listener of chat %s failed.", chat_id)
