"""The SQLite file of what was read of all knowledge: opening, transactions, damaged files and full disks.

All of it comes from files that exist elsewhere, so a damaged file or one of another layout is made again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from modules.files.private_files import create_private
from modules.protocol.errors import PaddockError

_LAYOUT = 1
_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, knowledge TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL,
    modified INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL, problem TEXT NOT NULL,
    UNIQUE (knowledge, path));
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    start INTEGER NOT NULL, stop INTEGER NOT NULL, page INTEGER NOT NULL, line INTEGER NOT NULL,
    vector TEXT NOT NULL DEFAULT '');
CREATE INDEX passages_document ON passages (document);
CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = "unicode61 remove_diacritics 2");
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, row);
"""


class KnowledgeError(PaddockError):
    """Knowledge could not be read, written or found."""

    code = "knowledge"


class IndexFile:
    """One connection and one lock. Thread-safe. Methods raise KnowledgeError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def lock_path(self, knowledge: str) -> str:
        """Return the file that a process locks while it reads this knowledge."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return str(self._path.with_name(f"{knowledge}.lock"))

    def close(self) -> None:
        """Close the file. A later call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection in one transaction."""
        with self._lock:
            try:
                if self._connection is None:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    self._connection = self._connect()
                with self._connection:
                    self._connection.execute("BEGIN IMMEDIATE")
                    yield self._connection
            except sqlite3.DatabaseError as error:
                raise self._explain(error) from error
            except OSError as error:
                raise KnowledgeError(
                    f"{self._path} cannot be used ({error.strerror}). Check its folder's permissions and the free disk "
                    "space, then try again.",
                    detail=str(error),
                ) from error

    def _connect(self) -> sqlite3.Connection:
        try:
            return self._prepare()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "not a database" not in str(error):
                raise
        self._remove_files()
        return self._prepare()

    def _prepare(self) -> sqlite3.Connection:
        create_private(self._path)
        connection = sqlite3.connect(self._path, timeout=_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA foreign_keys = ON")
            (layout,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if layout != _LAYOUT and tables:
                raise sqlite3.DatabaseError("another layout")
            if layout != _LAYOUT:
                connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_LAYOUT}; COMMIT;")
        except BaseException:
            connection.close()
            raise
        return connection

    def _remove_files(self) -> None:
        for ending in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)

    def _explain(self, error: sqlite3.DatabaseError) -> KnowledgeError:
        if "malformed" in str(error) or "not a database" in str(error):
            self.close()
            with contextlib.suppress(OSError):
                self._remove_files()
            return KnowledgeError(
                "The index of the knowledge was damaged and has been removed. Read the documents again.",
                detail=str(error),
            )
        return KnowledgeError(
            f"The index of the knowledge cannot be used ({error}). Check the free disk space, then try again.",
            detail=str(error),
        )
