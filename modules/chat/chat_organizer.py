"""Order among chats: pins, archive and tags, copies, and what is deleted for ever."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence

from modules.chat.chat_settings import ChatSettings
from modules.chat.database import StorageError
from modules.chat.messages import ChatHead
from modules.chat.setting_types import MOST_TAGS
from modules.chat.store import ChatStore
from modules.chat.training_data import BAD, GOOD, RATING
from modules.chat.tree import clean, show
from modules.protocol.errors import PaddockError

_LONGEST_TAG = 40


class ChatOrganizer:
    """Changes the places of chats in the list. Thread-safe. `notify(chat_id)` is called after each change.

    Raises StorageError if the disk fails.
    """

    def __init__(self, store: ChatStore, notify: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._notify = notify
        self._clock = clock

    def pin(self, chat_id: str, on: bool) -> None:
        """Keep the chat at the top of the list, or no longer."""
        self._set_moment(chat_id, "pinned", on)

    def archive(self, chat_id: str, on: bool) -> None:
        """Put the chat into the archive, or take it out."""
        self._set_moment(chat_id, "archived", on)

    def _set_moment(self, chat_id: str, column: str, on: bool) -> None:
        moment = self._clock() if on else None
        with self._store.database.of(chat_id).change() as connection:
            connection.execute(f"UPDATE chats SET {column} = ? WHERE id = ?", (moment, chat_id))
        self._notify(chat_id)

    def tag(self, chat_id: str, tags: Sequence[str]) -> None:
        """Give the chat these tags and no others. Raises PaddockError for too many."""
        wanted: dict[str, str] = {}
        for tag in tags:
            name = clean(" ".join(tag.split()).strip("#, "))[:_LONGEST_TAG]
            if name:
                wanted.setdefault(name.casefold(), name)
        if len(wanted) > MOST_TAGS:
            raise PaddockError(f"A chat can have at most {MOST_TAGS} tags. Remove some.")
        self._store.head(chat_id)
        with self._store.database.of(chat_id).change() as connection:
            connection.execute("DELETE FROM tags WHERE chat = ?", (chat_id,))
            rows = [(chat_id, name) for name in wanted.values()]
            connection.executemany("INSERT INTO tags (chat, tag) VALUES (?, ?)", rows)
        self._notify(chat_id)

    def set_character(self, chat_id: str, character: str) -> None:
        """Let the chat have another character, "" for none."""
        with self._store.database.of(chat_id).change() as connection:
            connection.execute("UPDATE chats SET character = ? WHERE id = ?", (clean(character), chat_id))
        self._notify(chat_id)

    def rate(self, chat_id: str, message_id: str, rating: int) -> None:
        """Rate a reply: training_data.GOOD, BAD, or 0 to take the rating back. Raises PaddockError."""
        if rating not in (GOOD, BAD, 0):
            raise PaddockError("A reply is rated good or bad. Reload the page.")
        with self._store.database.of(chat_id).change() as connection:
            query = "SELECT meta FROM messages WHERE chat = ? AND id = ? AND role = 'assistant' AND NOT living"
            row = connection.execute(query, (chat_id, message_id)).fetchone()
            if row is None:
                raise StorageError("This reply cannot be rated: it is still being written, or it was deleted.")
            meta = {name: value for name, value in json.loads(row["meta"]).items() if name != RATING}
            text = json.dumps({**meta, RATING: rating} if rating else meta)
            connection.execute("UPDATE messages SET meta = ? WHERE id = ?", (text, message_id))
        self._notify(chat_id)

    def reveal(self, chat_id: str, message_id: str) -> None:
        """Show the branch with this message. Raises StorageError if it is not there, or was deleted."""
        with self._store.database.of(chat_id).change() as connection:
            line: list[sqlite3.Row] = []
            wanted: str | None = message_id
            while wanted is not None:
                row = connection.execute(
                    "SELECT id, parent, deleted FROM messages WHERE chat = ? AND id = ?", (chat_id, wanted)
                ).fetchone()
                if row is None or row["deleted"]:
                    raise StorageError("This message was deleted from the chat. Search again.")
                line.append(row)
                wanted = row["parent"]
            for row in line:
                show(connection, chat_id, row["parent"], row["id"])
        self._notify(chat_id)

    def purge(self, chat_id: str) -> None:
        """Delete a chat for ever. Only a temporary one need not be in the trash. Raises PaddockError."""
        trash = {head.id for head in self._store.heads(trash=True)}
        temporary = self._store.head(chat_id).temporary
        if not temporary and chat_id not in trash:
            raise PaddockError("Only a chat in the trash can be deleted for ever. Delete it first.")
        with self._store.database.of(chat_id).change() as connection:
            # Messages and chats name each other.
            connection.execute("PRAGMA defer_foreign_keys = ON")
            below = "(SELECT id FROM messages WHERE chat = ?)"
            connection.execute(f"DELETE FROM parts WHERE message IN {below}", (chat_id,))
            for table, column in (("messages", "chat"), ("tags", "chat"), ("chats", "id")):
                connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (chat_id,))
        if not temporary:
            self._store.database.overwrite_deleted()
        self._notify(chat_id)

    def duplicate(self, chat_id: str) -> ChatHead:
        """Return a copy of a chat with all its versions and branches, settings, folder and tags."""
        head = self._store.head(chat_id)
        title = f"{head.own_title} (copy)" if head.own_title else ""
        new = self._copy(head, title, temporary=head.temporary)
        self._notify(new.id)
        return new

    def keep(self, chat_id: str) -> ChatHead:
        """Store a temporary chat, and return the stored one. The temporary one is gone then."""
        head = self._store.head(chat_id)
        if not head.temporary:
            return head
        kept = self._copy(head, head.own_title, temporary=False)
        self.purge(chat_id)
        return kept

    def _copy(self, source: ChatHead, title: str, *, temporary: bool) -> ChatHead:
        tree, settings = self._store.tree(source.id), ChatSettings(self._store.database).get(source.id)
        new = self._store.add_tree(tree, title, source.character, settings, temporary=temporary)
        with self._store.database.of(new.id).change() as connection:
            connection.execute("UPDATE chats SET folder = ? WHERE id = ?", (source.folder or None, new.id))
            tags = [(new.id, tag) for tag in source.tags]
            connection.executemany("INSERT INTO tags (chat, tag) VALUES (?, ?)", tags)
        return self._store.head(new.id)
