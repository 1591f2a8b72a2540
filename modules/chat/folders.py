"""Folders of chats, each with a name and settings that hold for its chats."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.chat.database import Database, StorageError
from modules.chat.tree import clean, new_id
from modules.protocol.errors import PaddockError

_LONGEST_NAME = 80


@dataclass(frozen=True)
class Folder:
    """A folder. `settings`: system (a system prompt) and knowledge (names), where they are set."""

    id: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)


class Folders:
    """The folders in the database of the chats. Thread-safe. `notify` is called after each change.

    Raises StorageError. Temporary chats are in no folder.
    """

    def __init__(
        self, database: Database, notify: Callable[[str], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._notify = notify
        self._clock = clock

    def all(self) -> list[Folder]:
        """Return the folders, sorted by name without regard to case."""
        rows = self._database.rows("SELECT id, name, settings FROM folders")
        found = [Folder(row["id"], row["name"], json.loads(row["settings"])) for row in rows]
        return sorted(found, key=lambda folder: folder.name.casefold())

    def get(self, folder_id: str) -> Folder:
        """Return the folder with this id. Raises PaddockError if there is none."""
        found = next((folder for folder in self.all() if folder.id == folder_id), None)
        if found is None:
            raise PaddockError("This folder does not exist any more. Reload the page.")
        return found

    def of_chat(self, chat_id: str) -> Folder | None:
        """Return the folder of a chat, or None."""
        rows = self._database.of(chat_id).rows("SELECT folder FROM chats WHERE id = ?", (chat_id,))
        name = rows[0]["folder"] if rows else None
        return self.get(name) if name else None

    def create(self, name: str) -> Folder:
        """Create a folder. Raises PaddockError if the name is empty or taken."""
        name, folder_id = self._checked(name), new_id()
        with self._database.change() as connection:
            values = (folder_id, name, self._clock())
            connection.execute("INSERT INTO folders (id, name, created) VALUES (?, ?, ?)", values)
        self._notify("")
        return Folder(folder_id, name)

    def named(self, name: str) -> Folder:
        """Return the folder with this name, which is created where there is none."""
        wanted = _plain(name).casefold()
        return next((one for one in self.all() if one.name.casefold() == wanted), None) or self.create(name)

    def rename(self, folder_id: str, name: str) -> None:
        """Give a folder another name. Raises PaddockError if it is empty or taken."""
        name = self._checked(name, self.get(folder_id))
        with self._database.change() as connection:
            connection.execute("UPDATE folders SET name = ? WHERE id = ?", (name, folder_id))
        self._notify("")

    def change(self, folder_id: str, changes: Mapping[str, object]) -> dict[str, Any]:
        """Set the named settings; None removes one. Return all settings of the folder."""
        merged = {**self.get(folder_id).settings, **changes}
        settings = {name: value for name, value in merged.items() if value is not None}
        with self._database.change() as connection:
            connection.execute("UPDATE folders SET settings = ? WHERE id = ?", (json.dumps(settings), folder_id))
        self._notify("")
        return settings

    def delete(self, folder_id: str) -> None:
        """Delete a folder. Its chats stay, in no folder."""
        self.get(folder_id)
        with self._database.change() as connection:
            connection.execute("UPDATE chats SET folder = NULL WHERE folder = ?", (folder_id,))
            connection.execute("DELETE FROM folders WHERE id = ?", (folder_id,))
        self._notify("")

    def move(self, chat_id: str, folder_id: str) -> None:
        """Put a chat into a folder; "" takes it out."""
        if folder_id:
            self.get(folder_id)
        database = self._database.of(chat_id)
        if database is not self._database:
            raise StorageError("A temporary chat cannot be in a folder. Keep it first.")
        with database.change() as connection:
            connection.execute("UPDATE chats SET folder = ? WHERE id = ?", (folder_id or None, chat_id))
        self._notify(chat_id)

    def _checked(self, name: str, own: Folder | None = None) -> str:
        name = _plain(name)
        if not name:
            raise PaddockError("A folder needs a name. Write one first.")
        others = {folder.name.casefold() for folder in self.all() if own is None or folder.id != own.id}
        if name.casefold() in others:
            raise PaddockError(f"There is a folder named {name} already. Choose another name.")
        return name


def _plain(name: str) -> str:
    return clean(" ".join(name.split()))[:_LONGEST_NAME]
