"""Which knowledge a chat uses: its own choice, else that of its folder, else that of new chats."""

from __future__ import annotations

from collections.abc import Sequence

from modules.chat.chat_settings import ChatSettings
from modules.chat.folders import Folders
from modules.settings.preferences import Preferences

KNOWLEDGE = "knowledge"


class ChatKnowledge:
    """The knowledge of chats, by its names. Thread-safe. Raises StorageError."""

    def __init__(self, chats: ChatSettings, folders: Folders, settings: Preferences) -> None:
        self._chats, self._folders, self._settings = chats, folders, settings

    def names(self, chat_id: str) -> tuple[str, ...]:
        """Return what a chat uses; with "" for `chat_id`, what new chats use."""
        own = self._chats.get(chat_id).get(KNOWLEDGE) if chat_id else None
        if not isinstance(own, list):
            folder = self._folders.of_chat(chat_id) if chat_id else None
            own = folder.settings.get(KNOWLEDGE) if folder else None
        return _texts(own if isinstance(own, list) else self._settings.get(KNOWLEDGE, []))

    def choose(self, chat_id: str, names: Sequence[str]) -> None:
        """Let a chat use these; with "" for `chat_id`, new chats."""
        if chat_id:
            self._chats.change(chat_id, {KNOWLEDGE: list(names)})
        else:
            self._settings.set(KNOWLEDGE, list(names) or None)


def _texts(values: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for one in values if isinstance(one, str))) if isinstance(values, list) else ()
