"""The SQLite file under the chats: opening, migrating, transactions; and a damaged file, and a full disk."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modules.chat.messages import NotSaved
from modules.chat.recovery import recover_chats
from modules.files.private_files import create_private

# Layout n+1 is made from layout n by MIGRATIONS[n]; PRAGMA user_version says which layout a file has.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE chats (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            title TEXT NOT NULL DEFAULT '',
            character TEXT NOT NULL DEFAULT '',
            created REAL NOT NULL,
            updated REAL NOT NULL,
            deleted REAL,
            active TEXT REFERENCES messages (id)
        )""",
        """CREATE TABLE messages (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            chat TEXT NOT NULL REFERENCES chats (id),
            parent TEXT REFERENCES messages (id),
            role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
            text TEXT NOT NULL,
            created REAL NOT NULL,
            meta TEXT NOT NULL DEFAULT '{}',
            deleted INTEGER NOT NULL DEFAULT 0,
            living INTEGER NOT NULL DEFAULT 0,
            active TEXT REFERENCES messages (id)
        )""",
        "CREATE INDEX messages_by_parent ON messages (chat, parent, deleted, seq)",
        "CREATE INDEX messages_living ON messages (living) WHERE living",
    ),
)

BUSY_SECONDS = 10.0


class StorageError(NotSaved):
    """The chats could not be read or written."""

    code = "storage"


class Database:
    """One connection, one lock: readers and writers of this process take turns; other processes are waited for.

    `notice` is a sentence for the user when the file was damaged and had to be moved aside, else "".
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notice = ""
        self._lock = threading.RLock()
        self.connection = self._open_or_replace()

    def _open_or_replace(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return self._open()
            except sqlite3.DatabaseError as error:
                if not _damaged(error):
                    raise
                aside = self._move_aside()
            connection = self._open()
            chats, messages = recover_chats(aside, connection)
            self.notice = (
                f"The file of the chats was damaged. It was kept as {aside.name} in {aside.parent}, and what could be "
                f"read of it is in a new one: {chats} chats with {messages} messages."
            )
            return connection
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be used ({error.strerror}). Check its folder's permissions, then start again.",
                detail=str(error),
            ) from error
        except sqlite3.DatabaseError as error:
            raise _explain(error, self.path) from error

    def _open(self) -> sqlite3.Connection:
        create_private(self.path)
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.create_function("casefold", 1, str.casefold, deterministic=True)
            for row in connection.execute("PRAGMA quick_check(1)"):
                if row[0] != "ok":
                    raise sqlite3.DatabaseError(f"malformed: {row[0]}")
            connection.execute("PRAGMA journal_mode = WAL")
            # With WAL, FULL survives a power cut too. It costs one fsync a change, and changes are seldom.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring the file to the newest layout, all steps in one transaction."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise StorageError(
                    f"{self.path} was written by a newer Paddock (layout {version}; this one knows {len(MIGRATIONS)}). "
                    "Update Paddock, or start it with another user_data folder."
                )
            for step in MIGRATIONS[version:]:
                for statement in step:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            connection.execute("COMMIT")
        except BaseException:
            _rollback(connection)
            raise

    def _move_aside(self) -> Path:
        """Rename the damaged file and its journals, so that a person can still get at them."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = self.path.with_name(f"{self.path.stem}-damaged-{stamp}{self.path.suffix}")
        number = 1
        while aside.exists():
            number += 1
            aside = self.path.with_name(f"{self.path.stem}-damaged-{stamp}-{number}{self.path.suffix}")
        for ending in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + ending)
            if part.exists():
                part.rename(aside.with_name(aside.name + ending))
        return aside

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it happens or none. Raises StorageError."""
        with self._lock:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self.connection
                    self.connection.execute("COMMIT")
                except BaseException:
                    _rollback(self.connection)
                    raise
            except sqlite3.Error as error:
                raise _explain(error, self.path) from error

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """All rows of a query. Raises StorageError."""
        with self._lock:
            try:
                return self.connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise _explain(error, self.path) from error

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        with self._lock:
            self.connection.close()


def _rollback(connection: sqlite3.Connection) -> None:
    # SQLite has already rolled back by itself after some errors (a full disk among them).
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _damaged(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is bad. One that is locked, full or unreadable gives a subclass, and is not moved."""
    return type(error) is sqlite3.DatabaseError


def _explain(error: sqlite3.Error, path: Path) -> StorageError:
    words = str(error)
    if "full" in words or "disk I/O" in words:
        text = (
            f"The disk with {path.parent} is full or cannot be written, so this could not be saved. "
            "Free some space there; text that is on the page stays until then."
        )
    elif "locked" in words or "busy" in words:
        text = "Another program holds the file of the chats. Close it (a second Paddock, a backup), then try again."
    elif "readonly" in words or "unable to open" in words:
        text = f"{path} cannot be written. Check the permissions of the file and of its folder, then try again."
    elif isinstance(error, sqlite3.DatabaseError) and _damaged(error):
        text = f"{path} is damaged. Restart Paddock: it keeps the damaged file aside and begins a new one."
    elif isinstance(error, sqlite3.ProgrammingError) and "closed" in words:
        text = "The chats are closed because Paddock is ending. Start it again."
    else:
        text = f"The chats in {path} could not be used ({words}). Try again; if it stays, restart Paddock."
    return StorageError(text, detail=f"{type(error).__name__}: {words}")
