"""Settings of single chats, which go before those of their folder and of the Session tab."""

from __future__ import annotations

import json
from collections.abc import Mapping

from modules.chat.database import Database
from modules.chat.tree import missing_chat


class ChatSettings:
    """The settings of each chat: names to JSON values, in the chat's row. Thread-safe. Raises StorageError.

    Names: model, preset, parameters (sampler -> value), system, tools (names), knowledge (names), persona, note,
    lorebooks (names), group, summary, overflow. A name that is not there leaves the choice to the folder, then to the
    Session tab.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, chat_id: str) -> dict[str, object]:
        """Return the settings of a chat."""
        rows = self._database.of(chat_id).rows("SELECT settings FROM chats WHERE id = ?", (chat_id,))
        if not rows:
            raise missing_chat()
        found: dict[str, object] = json.loads(rows[0]["settings"])
        return found

    def change(self, chat_id: str, changes: Mapping[str, object]) -> dict[str, object]:
        """Set the named settings; None removes one. Return all settings of the chat."""
        with self._database.of(chat_id).change() as connection:
            row = connection.execute("SELECT settings FROM chats WHERE id = ?", (chat_id,)).fetchone()
            if row is None:
                raise missing_chat()
            merged = {**json.loads(row["settings"]), **changes}
            settings = {name: value for name, value in merged.items() if value is not None}
            connection.execute("UPDATE chats SET settings = ? WHERE id = ?", (json.dumps(settings), chat_id))
        return settings
