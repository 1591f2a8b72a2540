"""Which tools the user switched on, for each chat, and which of them may run without asking."""

from __future__ import annotations

import threading
from typing import Any

from modules.settings.user_settings import YamlStore

_CHATS, _ALWAYS, _NEW = "chats", "always", "new_chats"
_ON, _ALLOWED = "on", "allowed"
# Chats whose choices are kept. Beyond it, the oldest entry goes; its chat then has the tools of new chats.
_MOST_CHATS = 2_000


class ToolChoices:
    """Choices by the tools' keys, in one YAML file. Thread-safe. A chat without a choice has the tools of new chats."""

    def __init__(self, store: YamlStore) -> None:
        self._store = store
        self._lock = threading.Lock()

    def switched_on(self, chat_id: str = "") -> list[str]:
        """Return the keys of the tools that are on in this chat, or without an id in new chats."""
        entry = self._chats().get(chat_id) if chat_id else None
        chosen = entry.get(_ON) if isinstance(entry, dict) else None
        return _texts(self._store.get(_NEW) if chosen is None else chosen)

    def switch(self, chat_id: str, key: str, on: bool) -> None:
        """Switch a tool on or off in this chat, or without an id for new chats."""
        with self._lock:
            keys = [known for known in self.switched_on(chat_id) if known != key] + ([key] if on else [])
            if chat_id:
                self._change(chat_id, _ON, keys)
            else:
                self._store.set(_NEW, keys or None)

    def allows(self, chat_id: str, key: str) -> bool:
        """Return True if this tool runs in this chat without asking."""
        return key in self.always() or key in self.allowed(chat_id)

    def always(self) -> list[str]:
        """Return the keys of the tools that never ask."""
        return _texts(self._store.get(_ALWAYS))

    def allowed(self, chat_id: str) -> list[str]:
        """Return the keys of the tools that do not ask in this chat."""
        entry = self._chats().get(chat_id)
        return _texts(entry.get(_ALLOWED)) if isinstance(entry, dict) else []

    def allow(self, chat_id: str, key: str, *, always: bool = False) -> None:
        """Run this tool without asking in this chat, or in every chat."""
        with self._lock:
            if always:
                self._store.set(_ALWAYS, [known for known in self.always() if known != key] + [key])
            else:
                self._change(chat_id, _ALLOWED, [known for known in self.allowed(chat_id) if known != key] + [key])

    def ask_again(self, chat_id: str, key: str) -> None:
        """Ask again before each call of this tool, in this chat and in all others where it was allowed always."""
        with self._lock:
            self._store.set(_ALWAYS, [known for known in self.always() if known != key] or None)
            self._change(chat_id, _ALLOWED, [known for known in self.allowed(chat_id) if known != key])

    def copy(self, chat_id: str, other: str) -> None:
        """Give a chat that was branched from `chat_id` the same tools. They ask again there."""
        with self._lock:
            entry = self._chats().get(chat_id)
            if isinstance(entry, dict) and entry.get(_ON) is not None:
                self._change(other, _ON, _texts(entry[_ON]))

    def _chats(self) -> dict[str, Any]:
        chats = self._store.get(_CHATS)
        return chats if isinstance(chats, dict) else {}

    def _change(self, chat_id: str, name: str, keys: list[str]) -> None:
        chats = self._chats()
        before = chats.get(chat_id)
        entry = {**(before if isinstance(before, dict) else {}), name: keys}
        rest = [(known, value) for known, value in chats.items() if known != chat_id]
        self._store.set(_CHATS, dict([*rest[1 - _MOST_CHATS :], (chat_id, entry)]))


def _texts(value: object) -> list[str]:
    return [key for key in value if isinstance(key, str)] if isinstance(value, list) else []
