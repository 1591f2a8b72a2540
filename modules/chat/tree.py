"""The tree of messages in the database: its queries, and the steps of the store's changes."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from modules.chat.database import TEMPORARY, StorageError
from modules.chat.messages import NEW_CHAT, ChatHead, Message
from modules.chat.parts import Part, from_json, rows_of

# The parts of a message as JSON: [[kind, text, meta], …].
PARTS = """(SELECT json_group_array(json_array(kind, text, json(meta)))
    FROM (SELECT p.kind, p.text, p.meta FROM parts p WHERE p.message = m.id ORDER BY p.place)) AS parts"""

MESSAGE = f"""SELECT m.id, m.parent, m.role, {PARTS}, m.created, m.meta, m.chat,
    (SELECT COUNT(*) FROM messages s WHERE s.chat = m.chat AND s.parent IS m.parent AND NOT s.deleted) AS versions,
    (SELECT COUNT(*) FROM messages s WHERE s.chat = m.chat AND s.parent IS m.parent AND NOT s.deleted
        AND s.seq <= m.seq) AS version FROM messages m"""

PATH = f"""WITH RECURSIVE path (id, depth) AS (
        SELECT active, 0 FROM chats WHERE id = ? AND active IS NOT NULL
        UNION ALL SELECT m.active, depth + 1 FROM path JOIN messages m ON m.id = path.id WHERE m.active IS NOT NULL)
    {MESSAGE} JOIN path ON path.id = m.id ORDER BY path.depth"""

ANCESTORS = f"""WITH RECURSIVE line (id, depth) AS (
        SELECT id, 0 FROM messages WHERE chat = ? AND id = ?
        UNION ALL SELECT m.parent, depth + 1 FROM line JOIN messages m ON m.id = line.id WHERE m.parent IS NOT NULL)
    {MESSAGE} JOIN line ON line.id = m.id ORDER BY line.depth DESC"""


def new_id(beside: str = "") -> str:
    """Return a random id. A page that stays open while files change thus never names another message.

    `beside`: the id of its chat; what belongs to a temporary chat is temporary too.
    """
    return f"{TEMPORARY if beside.startswith(TEMPORARY) else ''}{secrets.token_hex(8)}"


def missing_chat() -> StorageError:
    """Return the error for a chat that is not in the database."""
    return StorageError("This chat does not exist any more. Choose another one in the list, or start a new chat.")


def clean(text: str) -> str:
    """Return `text` without lone surrogates, which SQLite cannot store."""
    return text.encode("utf-8", "replace").decode("utf-8")


def like_pattern(word: str) -> str:
    """Return a LIKE pattern for text that contains `word`, without regard to case."""
    escaped = clean(word).casefold().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def head_of(row: sqlite3.Row, tags: Iterable[str] = ()) -> ChatHead:
    """Return the list's entry of a row of chats, which may be of an earlier layout."""
    known = row.keys()
    pinned, archived, folder = (row[name] if name in known else None for name in ("pinned", "archived", "folder"))
    return ChatHead(
        row["id"],
        row["title"] or NEW_CHAT,
        row["updated"],
        row["character"],
        row["created"],
        pinned is not None,
        archived is not None,
        folder or "",
        tuple(tags),
        row["id"].startswith(TEMPORARY),
        row["seq"],
    )


def message_of(row: sqlite3.Row) -> Message:
    """Return the message of a row of MESSAGE, PATH or ANCESTORS."""
    meta = json.loads(row["meta"])
    parts = parts_of(row)
    return Message(row["id"], row["parent"], row["role"], parts, row["created"], row["version"], row["versions"], meta)


def parts_of(row: sqlite3.Row) -> tuple[Part, ...]:
    """Return the parts in the column PARTS of a row."""
    return tuple(Part(*values) for values in json.loads(row["parts"]))


def parent_of(connection: sqlite3.Connection, chat_id: str, message_id: str) -> str | None:
    """Return the message's parent. Raises StorageError if this chat has no such message."""
    row = connection.execute("SELECT parent FROM messages WHERE chat = ? AND id = ?", (chat_id, message_id)).fetchone()
    if row is None:
        raise StorageError("This message does not exist in this chat. Reload the page.")
    parent: str | None = row["parent"]
    return parent


def insert_chat(connection: sqlite3.Connection, chat_id: str, title: str, character: str, now: float) -> None:
    """Insert an empty chat."""
    connection.execute(
        "INSERT INTO chats (id, title, character, created, updated) VALUES (?, ?, ?, ?, ?)",
        (chat_id, clean(title), clean(character), now, now),
    )


def copy_order(connection: sqlite3.Connection, source: str, target: str, ids: Mapping[str, str]) -> None:
    """Give a copy of a chat the settings, the folder and the tags of `source`. `ids`: old -> new ids of messages."""
    row = connection.execute("SELECT settings, folder FROM chats WHERE id = ?", (source,)).fetchone()
    settings = json.dumps(renamed_ids(json.loads(row["settings"]), ids))
    connection.execute("UPDATE chats SET settings = ?, folder = ? WHERE id = ?", (settings, row["folder"], target))
    tags = "INSERT INTO tags (chat, tag) SELECT ?, tag FROM tags WHERE chat = ? ORDER BY seq"
    connection.execute(tags, (target, source))


def renamed_ids(value: Any, ids: Mapping[str, str]) -> Any:
    """Return a value of JSON with the ids of messages in it replaced, for a copy of their chat."""
    if isinstance(value, dict):
        return {name: renamed_ids(one, ids) for name, one in value.items()}
    if isinstance(value, list):
        return [renamed_ids(one, ids) for one in value]
    return ids.get(value, value) if isinstance(value, str) else value


def insert(
    connection: sqlite3.Connection,
    chat_id: str,
    parent: str | None,
    role: str,
    parts: Iterable[Part],
    meta: Mapping[str, object],
    created: float,
    *,
    living: bool = False,
) -> str:
    """Insert a message and show it. Return its id. Raises StorageError if `parent` is not in this chat."""
    if parent is not None:
        parent_of(connection, chat_id, parent)
    message_id = new_id(chat_id)
    connection.execute(
        "INSERT INTO messages (id, chat, parent, role, created, meta, living) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (message_id, chat_id, parent, role, created, json.dumps(dict(meta)), int(living)),
    )
    write_parts(connection, message_id, parts)
    show(connection, chat_id, parent, message_id)
    return message_id


def insert_tree(connection: sqlite3.Connection, chat_id: str, messages: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Insert messages in the shape of ChatStore.tree, parents before children. Return old -> new ids.

    Below each parent the one that is active is shown, or else the last one; none is deleted yet. Few statements for
    many messages, because other processes wait meanwhile.
    """
    ids: dict[str, str] = {}
    rows: list[tuple[object, ...]] = []
    parts: list[tuple[object, ...]] = []
    shown: dict[str | None, str] = {}
    chosen: set[str | None] = set()
    for entry in messages:
        parent = ids[entry["parent"]] if entry["parent"] is not None else None
        message_id = ids[entry["id"]] = new_id(chat_id)
        active = entry["active"] and not entry["deleted"]
        if active or parent not in chosen:
            shown[parent] = message_id
        if active:
            chosen.add(parent)
        rows.append((message_id, chat_id, parent, entry["role"], entry["created"], json.dumps(dict(entry["meta"]))))
        for place, kind, text, meta in rows_of(from_json(entry["parts"])):
            parts.append((message_id, place, kind, clean(text), meta))
    connection.executemany(
        "INSERT INTO messages (id, chat, parent, role, created, meta) VALUES (?, ?, ?, ?, ?, ?)", rows
    )
    connection.executemany("INSERT INTO parts (message, place, kind, text, meta) VALUES (?, ?, ?, ?, ?)", parts)
    for above, child in shown.items():
        show(connection, chat_id, above, child)
    return ids


def write_parts(connection: sqlite3.Connection, message_id: str, parts: Iterable[Part]) -> None:
    """Replace the parts of a message. Rows that are there are updated, so a growing text takes little new room."""
    rows = rows_of(parts)
    for place, kind, text, meta in rows:
        values = (kind, clean(text), meta, message_id, place)
        update = "UPDATE parts SET kind = ?, text = ?, meta = ? WHERE message = ? AND place = ?"
        if not connection.execute(update, values).rowcount:
            new = "INSERT INTO parts (kind, text, meta, message, place) VALUES (?, ?, ?, ?, ?)"
            connection.execute(new, values)
    connection.execute("DELETE FROM parts WHERE message = ? AND place >= ?", (message_id, len(rows)))


def insert_copy(connection: sqlite3.Connection, chat_id: str, parent: str | None, message: Message) -> str:
    """Insert a copy of a message below `parent`, perhaps in another chat. Return its id."""
    return insert(connection, chat_id, parent, message.role, message.parts, message.meta, message.created)


def children(connection: sqlite3.Connection, chat_id: str, parent: str | None) -> list[str]:
    """Return the ids of the versions below one parent that are not deleted, oldest first."""
    rows = connection.execute(
        "SELECT id FROM messages WHERE chat = ? AND parent IS ? AND NOT deleted ORDER BY seq", (chat_id, parent)
    )
    return [row["id"] for row in rows]


def show(connection: sqlite3.Connection, chat_id: str, parent: str | None, child: str | None) -> None:
    """Make `child` the shown message below `parent`."""
    if parent is None:
        connection.execute("UPDATE chats SET active = ? WHERE id = ?", (child, chat_id))
    else:
        connection.execute("UPDATE messages SET active = ? WHERE id = ?", (child, parent))


def mark_deleted(connection: sqlite3.Connection, chat_id: str, parent: str | None, message_id: str) -> None:
    """Mark a message deleted. If it was shown, show the version before it, else the one after it, else none."""
    siblings = children(connection, chat_id, parent)
    connection.execute("UPDATE messages SET deleted = 1 WHERE id = ?", (message_id,))
    table, owner = ("chats", chat_id) if parent is None else ("messages", parent)
    shown = connection.execute(f"SELECT active FROM {table} WHERE id = ?", (owner,)).fetchone()["active"]
    if shown == message_id:
        place = siblings.index(message_id)
        others = siblings[:place][-1:] or siblings[place + 1 :][:1]
        show(connection, chat_id, parent, others[0] if others else None)
