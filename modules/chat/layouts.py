"""The layouts of the chats' database, and the steps from each to the next."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from modules.chat.parts import Part, plain, rows_of
from modules.chat.parts_reader import split_stored
from modules.files.paths import free_path
from modules.files.private_files import create_private

_MESSAGES = """CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    chat TEXT NOT NULL REFERENCES chats (id),
    parent TEXT REFERENCES messages (id),
    role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
    created REAL NOT NULL,
    meta TEXT NOT NULL DEFAULT '{}',
    deleted INTEGER NOT NULL DEFAULT 0,
    living INTEGER NOT NULL DEFAULT 0,
    active TEXT REFERENCES messages (id)
)"""
_COLUMNS = "seq, id, chat, parent, role, created, meta, deleted, living, active"
_INDEXES = (
    "CREATE INDEX messages_by_parent ON messages (chat, parent, deleted, seq)",
    "CREATE INDEX messages_living ON messages (living) WHERE living",
)
_PARTS = """CREATE TABLE parts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    message TEXT NOT NULL REFERENCES messages (id),
    place INTEGER NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    meta TEXT NOT NULL DEFAULT '{}',
    UNIQUE (message, place)
)"""


def stored_parts(role: str, text: str) -> tuple[Part, ...]:
    """Return the parts of a message of the first layout, which had one text."""
    return split_stored(text) if role == "assistant" else plain(text)


def _first_layout(connection: sqlite3.Connection) -> None:
    connection.execute(
        """CREATE TABLE chats (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            title TEXT NOT NULL DEFAULT '',
            character TEXT NOT NULL DEFAULT '',
            created REAL NOT NULL,
            updated REAL NOT NULL,
            deleted REAL,
            active TEXT REFERENCES messages (id)
        )"""
    )
    connection.execute(_MESSAGES.replace("created REAL", "text TEXT NOT NULL, created REAL"))
    for statement in _INDEXES:
        connection.execute(statement)


def _split_into_parts(connection: sqlite3.Connection) -> None:
    """Move the text of each message into the table of parts, with the reasoning of replies apart."""
    # SQLite before 3.35 cannot drop a column.
    connection.execute(_MESSAGES.replace("TABLE messages", "TABLE messages_new"))
    connection.execute(f"INSERT INTO messages_new ({_COLUMNS}) SELECT {_COLUMNS} FROM messages")
    connection.execute(_PARTS)
    for row in connection.execute("SELECT id, role, text FROM messages ORDER BY seq"):
        connection.executemany(
            "INSERT INTO parts (message, place, kind, text, meta) VALUES (?, ?, ?, ?, ?)",
            [(row[0], *values) for values in rows_of(stored_parts(row[1], row[2]))],
        )
    connection.execute("DROP TABLE messages")
    connection.execute("ALTER TABLE messages_new RENAME TO messages")
    for statement in _INDEXES:
        connection.execute(statement)


def _add_order(connection: sqlite3.Connection) -> None:
    """Add settings, folders, pins, archive and tags of chats."""
    connection.execute(
        """CREATE TABLE folders (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL,
            settings TEXT NOT NULL DEFAULT '{}',
            created REAL NOT NULL
        )"""
    )
    connection.execute(
        """CREATE TABLE tags (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            chat TEXT NOT NULL REFERENCES chats (id),
            tag TEXT NOT NULL,
            UNIQUE (chat, tag)
        )"""
    )
    # pinned, archived: the moment when it was done, or NULL.
    for column in (
        "settings TEXT NOT NULL DEFAULT '{}'",
        "pinned REAL",
        "archived REAL",
        "folder TEXT REFERENCES folders (id)",
    ):
        connection.execute(f"ALTER TABLE chats ADD COLUMN {column}")


# LAYOUTS[n] turns layout n into layout n+1. PRAGMA user_version holds a file's layout.
LAYOUTS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first_layout, _split_into_parts, _add_order)


def back_up(connection: sqlite3.Connection, path: Path, layout: int) -> Path:
    """Copy the whole database beside its file, before its layout is changed. Return the copy. Raises sqlite3.Error."""
    copy = free_path(path.with_name(f"{path.stem}-layout-{layout}{path.suffix}"))
    create_private(copy)
    try:
        with contextlib.closing(sqlite3.connect(copy)) as target:
            connection.backup(target)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy
