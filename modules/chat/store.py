"""Chats as a tree of messages in SQLite. Every version and branch is kept; `active` says which child is shown.

Invariant of every chat: the active child of a message (or of the chat, for first messages) is one of its children that
is not deleted, and there is one whenever such a child exists. So the deletion of one version among several never cuts a
path short, and switching to another version shows again what was last shown below it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.chat.database import TEMPORARY, Database, StorageError
from modules.chat.messages import ChatHead, Message, make_title
from modules.chat.parts import Part, as_parts, from_json, to_json, visible_text
from modules.chat.tree import (
    ANCESTORS,
    PARTS,
    PATH,
    children,
    clean,
    copy_order,
    head_of,
    insert,
    insert_chat,
    insert_copy,
    insert_tree,
    like_pattern,
    mark_deleted,
    message_of,
    missing_chat,
    new_id,
    parent_of,
    parts_of,
    renamed_ids,
    show,
    write_parts,
)

_FOUND = """(casefold(c.title) LIKE ? ESCAPE '\\'
    OR EXISTS (SELECT 1 FROM tags t WHERE t.chat = c.id AND casefold(t.tag) LIKE ? ESCAPE '\\')
    OR EXISTS (SELECT 1 FROM messages m JOIN parts p ON p.message = m.id
        WHERE m.chat = c.id AND NOT m.deleted AND casefold(p.text) LIKE ? ESCAPE '\\'))"""


def _tags(database: Database, chat_id: str = "") -> dict[str, list[str]]:
    """Return the tags of a chat, or of all chats, in the order in which they were given."""
    found: dict[str, list[str]] = {}
    query = "SELECT chat, tag FROM tags WHERE ? IN ('', chat) ORDER BY seq"
    for row in database.rows(query, (chat_id,)):
        found.setdefault(row["chat"], []).append(row["tag"])
    return found


class ChatStore:
    """All chats of one user_data folder. Thread-safe; each method is one transaction. Raises StorageError.

    `notice`: a sentence if a damaged file was moved aside, else "". `cut_off`: how many replies an earlier process left
    unfinished when it was killed; they keep their text and have `cut_off` in their meta. `owner`: no other process
    writes replies, so those that are unfinished are cut off.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time, *, owner: bool = True) -> None:
        self.database = Database(path)
        self.notice = self.database.notice
        self._clock = clock
        self.cut_off = self._mark_cut_off() if owner else 0

    def _mark_cut_off(self) -> int:
        with self.database.change() as connection:
            unfinished = connection.execute("SELECT id, meta FROM messages WHERE living").fetchall()
            for row in unfinished:
                meta = json.dumps({**json.loads(row["meta"]), "cut_off": True})
                connection.execute("UPDATE messages SET living = 0, meta = ? WHERE id = ?", (meta, row["id"]))
        return len(unfinished)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self.database.close()

    # Chats

    def create_chat(self, title: str = "", character: str = "", *, temporary: bool = False) -> ChatHead:
        """Create an empty chat. An empty title is shown as "New chat". `temporary`: in memory only."""
        chat_id = new_id(TEMPORARY if temporary else "")
        with self.database.of(chat_id).change() as connection:
            insert_chat(connection, chat_id, title, character, self._clock())
        return self.head(chat_id)

    def head(self, chat_id: str) -> ChatHead:
        """Return the chat's entry in the list, also for a chat in the trash."""
        database = self.database.of(chat_id)
        rows = database.rows("SELECT * FROM chats WHERE id = ?", (chat_id,))
        if not rows:
            raise missing_chat()
        return head_of(rows[0], _tags(database, chat_id).get(chat_id, ()))

    def heads(self, search: str = "", *, trash: bool = False) -> list[ChatHead]:
        """Return the chats with every word of `search`, latest first. `trash`: return deleted ones."""
        query = f"SELECT c.* FROM chats c WHERE c.deleted IS {'NOT ' if trash else ''}NULL"
        values: list[str] = []
        for word in search.split():
            query += f" AND {_FOUND}"
            values += [like_pattern(word)] * 3
        found: list[ChatHead] = []
        for database in self.database.all():
            tags = _tags(database)
            rows = database.rows(f"{query} ORDER BY c.updated DESC, c.seq DESC", tuple(values))
            found += [head_of(row, tags.get(row["id"], ())) for row in rows]
        return sorted(found, key=lambda head: -head.updated)

    def rename(self, chat_id: str, title: str) -> None:
        """Set the chat's title."""
        with self.database.of(chat_id).change() as connection:
            connection.execute("UPDATE chats SET title = ? WHERE id = ?", (clean(title), chat_id))

    def suggest_title(self, chat_id: str, title: str) -> None:
        """Set the chat's title if it has none."""
        with self.database.of(chat_id).change() as connection:
            connection.execute("UPDATE chats SET title = ? WHERE id = ? AND title = ''", (clean(title), chat_id))

    def set_trash(self, chat_id: str, deleted: bool) -> None:
        """Move the chat to the trash, or restore it. Its messages do not change."""
        with self.database.of(chat_id).change() as connection:
            moment = self._clock() if deleted else None
            connection.execute("UPDATE chats SET deleted = ? WHERE id = ?", (moment, chat_id))

    # Messages

    def path(self, chat_id: str) -> list[Message]:
        """Return the shown messages, root to leaf."""
        return [message_of(row) for row in self.database.of(chat_id).rows(PATH, (chat_id,))]

    def ancestors(self, chat_id: str, message_id: str) -> list[Message]:
        """Return the messages from the root to this one, itself included."""
        rows = self.database.of(chat_id).rows(ANCESTORS, (chat_id, message_id))
        if not rows:
            raise StorageError("This message does not exist in this chat. Reload the page.")
        return [message_of(row) for row in rows]

    def add(
        self,
        chat_id: str,
        parent: str | None,
        role: str,
        content: str | Sequence[Part],
        meta: Mapping[str, object] | None = None,
        *,
        living: bool = False,
        below: Sequence[Message] = (),
    ) -> str:
        """Add a message below `parent` (None: a first message) and show it. Return its id.

        `content`: its parts, or a text. `living`: it is being written. `below`: messages to copy below it, each under
        the one before.
        """
        with self.database.of(chat_id).change() as connection:
            first = insert(
                connection, chat_id, parent, role, as_parts(content), meta or {}, self._clock(), living=living
            )
            last = first
            for message in below:
                last = insert_copy(connection, chat_id, last, message)
            connection.execute("UPDATE chats SET updated = ? WHERE id = ?", (self._clock(), chat_id))
        return first

    def write(
        self, message_id: str, content: str | Sequence[Part], meta: Mapping[str, object], *, living: bool
    ) -> None:
        """Store the parts (or the text) and the meta of a message. `living`: it is still being written."""
        with self.database.of(message_id).change() as connection:
            connection.execute(
                "UPDATE messages SET meta = ?, living = ? WHERE id = ?",
                (json.dumps(dict(meta)), int(living), message_id),
            )
            write_parts(connection, message_id, as_parts(content))
            if not living:
                connection.execute(
                    "UPDATE chats SET updated = ? WHERE id = (SELECT chat FROM messages WHERE id = ?)",
                    (self._clock(), message_id),
                )

    def delete(self, chat_id: str, message_id: str) -> None:
        """Remove a message and all below it from the path. Show its nearest other version if it has one."""
        with self.database.of(chat_id).change() as connection:
            parent = parent_of(connection, chat_id, message_id)
            mark_deleted(connection, chat_id, parent, message_id)

    def undelete(self, chat_id: str, message_id: str) -> None:
        """Restore a deleted message and show it."""
        with self.database.of(chat_id).change() as connection:
            parent = parent_of(connection, chat_id, message_id)
            connection.execute("UPDATE messages SET deleted = 0 WHERE id = ?", (message_id,))
            show(connection, chat_id, parent, message_id)

    def switch(self, chat_id: str, message_id: str, version: int) -> str:
        """Show version `version` (from 1) of this message, and below it what was last shown. Return its id."""
        with self.database.of(chat_id).change() as connection:
            parent = parent_of(connection, chat_id, message_id)
            siblings = children(connection, chat_id, parent)
            if not 1 <= version <= len(siblings):
                raise StorageError(f"There is no version {version}; this message has {len(siblings)}. Reload the page.")
            show(connection, chat_id, parent, siblings[version - 1])
        return siblings[version - 1]

    def branch(self, chat_id: str, messages: Sequence[Message], title: str, character: str) -> ChatHead:
        """Create a chat with copies of `messages`, each below the one before, and the settings of the chat."""
        new, last = new_id(chat_id), None
        ids: dict[str, str] = {}
        with self.database.of(new).change() as connection:
            insert_chat(connection, new, title, character, self._clock())
            for message in messages:
                last = ids[message.id] = insert_copy(connection, new, last, message)
            copy_order(connection, chat_id, new, ids)
        return self.head(new)

    def named_files(self) -> set[str]:
        """Return the hashes of the attachments that any message names, also a deleted one."""
        query = "SELECT DISTINCT json_extract(meta, '$.hash') FROM parts WHERE kind IN ('image', 'audio', 'document')"
        return {str(row[0]) for database in self.database.all() for row in database.rows(query)}

    # The whole tree, for export and import

    def tree(self, chat_id: str) -> list[dict[str, Any]]:
        """Return every message, oldest first: id, parent, role, parts (see parts.to_json), created, meta, deleted,
        active (shown)."""
        rows = self.database.of(chat_id).rows(
            f"""SELECT m.*, {PARTS}, m.id IS COALESCE(p.active, CASE WHEN m.parent IS NULL THEN c.active END) AS shown
            FROM messages m JOIN chats c ON c.id = m.chat LEFT JOIN messages p ON p.id = m.parent
            WHERE m.chat = ? ORDER BY m.seq""",
            (chat_id,),
        )
        names = ("id", "parent", "role", "created")
        return [
            {
                **{name: row[name] for name in names},
                "parts": to_json(parts_of(row)),
                "meta": json.loads(row["meta"]),
                "deleted": bool(row["deleted"]),
                "active": bool(row["shown"]),
            }
            for row in rows
        ]

    def add_tree(
        self,
        messages: Sequence[Mapping[str, Any]],
        title: str,
        character: str,
        settings: Mapping[str, object] | None = None,
        *,
        temporary: bool = False,
    ) -> ChatHead:
        """Create a chat from messages in the shape of `tree`, parents before children, with new ids.

        Without a title, the chat gets that of its first question. `settings`: as of ChatSettings.
        """
        questions = (entry["parts"] for entry in messages if entry["role"] == "user")
        title = title or make_title(visible_text(from_json(next(questions, []))))
        chat_id = new_id(TEMPORARY if temporary else "")
        with self.database.of(chat_id).change() as connection:
            insert_chat(connection, chat_id, title, character, self._clock())
            ids = insert_tree(connection, chat_id, messages)
            for entry in messages:
                if entry["deleted"]:
                    parent = ids[entry["parent"]] if entry["parent"] is not None else None
                    mark_deleted(connection, chat_id, parent, ids[entry["id"]])
            if settings:
                text = json.dumps(renamed_ids(dict(settings), ids))
                connection.execute("UPDATE chats SET settings = ? WHERE id = ?", (text, chat_id))
        return self.head(chat_id)
