"""The SQLite file of the chats, and the one in memory for temporary chats: opening, migration, transactions, damaged
files and full disks."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from modules.chat.layouts import LAYOUTS, back_up
from modules.chat.messages import NotSaved
from modules.chat.recovery import recover_chats
from modules.files.paths import free_path
from modules.files.private_files import create_private

_LOG = logging.getLogger(__name__)
BUSY_SECONDS = 10.0
# The ids of temporary chats and their messages begin with it.
TEMPORARY = "temporary-"


class StorageError(NotSaved):
    """The chats could not be read or written."""

    code = "storage"


class Database:
    """One connection and one lock: threads of this process take turns, and other processes are waited for.

    `notice`: a sentence for the user if the file was damaged and moved aside, else "". Temporary chats are in a second
    database in memory, which `of` returns for their ids and those of their messages.
    """

    def __init__(self, path: Path, *, in_memory: bool = False) -> None:
        self.path = path
        self.notice = ""
        self._in_memory = in_memory
        self._lock = threading.RLock()
        self._temporary: Database | None = None
        self.connection = self._open_or_replace()

    def of(self, id: str) -> Database:
        """Return the database that has, or will have, the chat or the message with this id."""
        return self.temporary if id.startswith(TEMPORARY) else self

    @property
    def temporary(self) -> Database:
        """The database of temporary chats. It is empty at each start."""
        with self._lock:
            if self._temporary is None:
                self._temporary = Database(self.path, in_memory=True)
            return self._temporary

    def all(self) -> list[Database]:
        """Return this database, and that of temporary chats if there have been any."""
        return [self, self._temporary] if self._temporary else [self]

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
                f"The file of the chats was damaged. It is kept as {aside.name} in {aside.parent}. What could be read "
                f"is in a new file: {chats} chats with {messages} messages."
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
        if not self._in_memory:
            create_private(self.path)
        name = ":memory:" if self._in_memory else self.path
        connection = sqlite3.connect(name, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.create_function("casefold", 1, str.casefold, deterministic=True)
            for row in connection.execute("PRAGMA quick_check(1)"):
                if row[0] != "ok":
                    raise sqlite3.DatabaseError(f"malformed: {row[0]}")
            connection.execute("PRAGMA journal_mode = WAL")
            self._migrate(connection)
            # With WAL, FULL also survives a power cut. It costs one fsync per change, and changes are rare.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            # What was deleted for ever is overwritten.
            connection.execute("PRAGMA secure_delete = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Migrate the file to the newest layout in one transaction."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            layout = connection.execute("PRAGMA user_version").fetchone()[0]
            if layout > len(LAYOUTS):
                raise StorageError(
                    f"{self.path} was written by a newer Paddock (layout {layout}; this one knows {len(LAYOUTS)}). "
                    "Update Paddock, or start it with another user_data folder."
                )
            if 0 < layout < len(LAYOUTS):
                self._back_up(layout)
            for step in LAYOUTS[layout:]:
                step(connection)
            connection.execute(f"PRAGMA user_version = {len(LAYOUTS)}")
            connection.execute("COMMIT")
        except BaseException:
            _rollback(connection)
            raise

    def _back_up(self, layout: int) -> None:
        """Copy the file through another connection, as this one is in a transaction that has changed nothing yet."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS)) as source:
            copy = back_up(source, self.path, layout)
        _LOG.info("The chats are stored in another way now. A copy of the earlier file is %s.", copy)

    def _move_aside(self) -> Path:
        """Rename the damaged file and its journals, so that a person can still read them."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = free_path(self.path.with_name(f"{self.path.stem}-damaged-{stamp}{self.path.suffix}"))
        for ending in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + ending)
            if part.exists():
                part.rename(aside.with_name(aside.name + ending))
        return aside

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Run the block in a transaction, or as a part of the one that this thread has begun. Raises StorageError."""
        with self._lock:
            try:
                # Only this thread can have begun one, because it has the lock.
                inside = self.connection.in_transaction
                self.connection.execute("SAVEPOINT part" if inside else "BEGIN IMMEDIATE")
                try:
                    yield self.connection
                    self.connection.execute("RELEASE part" if inside else "COMMIT")
                except BaseException:
                    _rollback(self.connection, inside)
                    raise
            except sqlite3.Error as error:
                raise _explain(error, self.path) from error

    def rows(self, query: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query. Raises StorageError."""
        with self._lock:
            try:
                return self.connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise _explain(error, self.path) from error

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        with self._lock:
            for database in self.all()[1:]:
                database.close()
            self.connection.close()

    def overwrite_deleted(self) -> None:
        """Overwrite what was deleted, in the file and in its journal. Raises StorageError."""
        with self._lock:
            try:
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                raise _explain(error, self.path) from error


def _rollback(connection: sqlite3.Connection, part: bool = False) -> None:
    """Take back a transaction, or the part of it that was begun last."""
    # After some errors, such as a full disk, SQLite has already rolled back all of it.
    if connection.in_transaction:
        for step in ("ROLLBACK TO part", "RELEASE part") if part else ("ROLLBACK",):
            connection.execute(step)


def _damaged(error: sqlite3.DatabaseError) -> bool:
    """Return True if the file itself is damaged. A locked or unreadable file and a full disk raise a subclass."""
    return type(error) is sqlite3.DatabaseError


def _explain(error: sqlite3.Error, path: Path) -> StorageError:
    words = str(error)
    if "full" in words or "disk I/O" in words:
        text = (
            f"The disk with {path.parent} is full or cannot be written, so this could not be saved. "
            "Free some space there; the text stays on the page until then."
        )
    elif "locked" in words or "busy" in words:
        text = (
            "Another program has locked the file of the chats. Close it (a second Paddock, a backup), then try again."
        )
    elif "readonly" in words or "unable to open" in words:
        text = f"{path} cannot be written. Check the permissions of the file and of its folder, then try again."
    elif isinstance(error, sqlite3.DatabaseError) and _damaged(error):
        text = f"{path} is damaged. Restart Paddock: it moves the damaged file aside and begins a new one."
    elif isinstance(error, sqlite3.ProgrammingError) and "closed" in words:
        text = "The chats are closed because Paddock is ending. Start it again."
    else:
        text = f"The chats in {path} could not be used ({words}). Try again; if that fails, restart Paddock."
    return StorageError(text, detail=f"{type(error).__name__}: {words}")
