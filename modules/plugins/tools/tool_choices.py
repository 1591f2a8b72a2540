"""Which tools the user switched on, for each chat, and which of them may run without asking."""

from __future__ import annotations

import threading
from typing import Protocol

from modules.settings.user_settings import YamlStore

_CHATS, _ALWAYS, _NEW = "chats", "always", "new_chats"
_ON, _ALLOWED, _MUST = "on", "allowed", "must_call"
_NEW_MUST = "new_chats_must_call"
# Chats whose choices are kept. Beyond it, the oldest entry goes; its chat then has the tools of new chats.
_MOST_CHATS = 2_000


class ChatToolSettings(Protocol):
    """Where each chat keeps the keys of its tools, so that they stay with it in copies and exports."""

    def get(self, chat_id: str) -> object:
        """Return the stored keys, None if the chat has made no choice."""

    def set(self, chat_id: str, keys: list[str]) -> None:
        """Store the keys."""


class ToolChoices:
    """Choices by the tools' keys. Thread-safe. A chat without a choice has the tools of new chats.

    `own`: where chats keep theirs. Everything else, and choices that an earlier version made, is in one YAML file.
    """

    def __init__(self, store: YamlStore, own: ChatToolSettings | None = None) -> None:
        self._own = own
        self._store = store
        self._lock = threading.Lock()

    def switched_on(self, chat_id: str = "") -> list[str]:
        """Return the keys of the tools that are on in this chat, or without an id in new chats."""
        if chat_id and self._own and (stored := self._own.get(chat_id)) is not None:
            return _texts(stored)
        entry = self._chats().get(chat_id) if chat_id else None
        chosen = entry.get(_ON) if isinstance(entry, dict) else None
        return _texts(self._store.get(_NEW) if chosen is None else chosen)

    def switch(self, chat_id: str, key: str, on: bool) -> None:
        """Switch a tool on or off in this chat, or without an id for new chats."""
        with self._lock:
            keys = [known for known in self.switched_on(chat_id) if known != key] + ([key] if on else [])
            if chat_id and self._own:
                self._own.set(chat_id, keys)
            elif chat_id:
                self._change(chat_id, _ON, keys)
            else:
                self._store.set(_NEW, keys or None)

    def must_call(self, chat_id: str = "") -> bool:
        """Return True if each reply in this chat has to begin with a call; without an id, in new chats."""
        entry = self._chats().get(chat_id) if chat_id else None
        chosen = entry.get(_MUST) if isinstance(entry, dict) else None
        return bool(self._store.get(_NEW_MUST)) if chosen is None else chosen is True

    def set_must_call(self, chat_id: str, must: bool) -> None:
        """Let each reply in this chat begin with a call, or not; without an id, in new chats."""
        with self._lock:
            if chat_id:
                self._change(chat_id, _MUST, must)
            else:
                self._store.set(_NEW_MUST, must or None)

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
            if isinstance(entry, dict) and isinstance(entry.get(_MUST), bool):
                self._change(other, _MUST, entry[_MUST])

    def _chats(self) -> dict[str, object]:
        chats = self._store.get(_CHATS)
        return chats if isinstance(chats, dict) else {}

    def _change(self, chat_id: str, name: str, value: list[str] | bool) -> None:
        chats = self._chats()
        before = chats.get(chat_id)
        entry = {**(before if isinstance(before, dict) else {}), name: value}
        rest = [(known, other) for known, other in chats.items() if known != chat_id]
        self._store.set(_CHATS, dict([*rest[1 - _MOST_CHATS :], (chat_id, entry)]))


def _texts(value: object) -> list[str]:
    return [key for key in value if isinstance(key, str)] if isinstance(value, list) else []
