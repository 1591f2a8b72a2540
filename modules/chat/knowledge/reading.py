"""Brings the index of one knowledge up to date with its folder: new, changed and removed documents, then vectors."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from filelock import FileLock, Timeout

from modules.chat.attachments.document_text import DocumentError, DocumentUnreachable, read_document
from modules.chat.knowledge.chunks import split_document
from modules.chat.knowledge.definitions import Definition
from modules.chat.knowledge.folder_scan import FoundFile, scan_folder
from modules.chat.knowledge.index_database import IndexDatabase
from modules.chat.knowledge.index_file import KnowledgeError
from modules.chat.knowledge.vectors import Vectors
from modules.chat.tree import clean
from modules.protocol.errors import PaddockError

# Passages of one knowledge. What exceeds them is not read.
MOST_PASSAGES = 100_000
_BATCH = 256
_SAVED = 4096
# Longer ago than this, a file is no longer being written.
_SETTLED_SECONDS = 1.0
# The size of a document that is looked at again the next time, even if the file is as it was.
_UNKNOWN = -1

# (phase, done, total)
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """How a reading ended. `notes`: sentences about what was not read; `vectors`: why there are none, or ""."""

    notes: tuple[str, ...] = ()
    vectors: str = ""


class Reader:
    """Reads knowledge. Blocking. `stopped(one)` ends it after the present document."""

    def __init__(self, database: IndexDatabase, vectors: Vectors, stopped: Callable[[Definition], bool]) -> None:
        self._database, self._vectors, self._stopped = database, vectors, stopped
        self._lock = threading.Lock()

    def is_fresh(self, one: Definition) -> bool:
        """Return True if the folder holds what was read, as far as names, sizes and times tell. Raises OSError."""
        known, scan = self._database.documents(one.id), scan_folder(one.folder)
        files = scan.files
        known = {path: document for path, document in known.items() if not scan.is_refused(path)}
        return len(known) == len(files) and all(file.path in known and known[file.path].is_same(file) for file in files)

    def read(self, one: Definition, embedder: str, report: Report) -> Outcome:
        """Read what changed. Raises KnowledgeError if the folder or the index cannot be used."""
        lock = self._database.lock_path(one.id)
        try:
            with self._lock, FileLock(lock, timeout=0):
                notes = self._read_documents(one, report)
                return Outcome(tuple(notes), self._make_vectors(one, embedder, report))
        except Timeout:
            raise KnowledgeError("Another Paddock reads these documents now. Try again when it is done.") from None

    def _read_documents(self, one: Definition, report: Report) -> list[str]:
        try:
            scan = scan_folder(one.folder)
        except OSError as error:
            raise _gone(one, error) from error
        known = self._database.documents(one.id)
        present = {file.path for file in scan.files}
        self._database.remove(one.id, [path for path in known if path not in present and not scan.is_refused(path)])
        fresh = [file for file in scan.files if file.path not in known or not known[file.path].is_same(file)]
        notes = [scan.note] if scan.note else []
        if scan.refused:
            notes.append(_describe_refused(scan.refused))
        _, passages = self._database.counts().get(one.id, (0, 0))
        for done, file in enumerate(fresh):
            if self._stopped(one):
                break
            report("reading", done, len(fresh))
            if passages >= MOST_PASSAGES:
                notes.append(
                    f"It has more than {MOST_PASSAGES:,} passages; {len(fresh) - done} files were not read. Choose a "
                    "smaller folder."
                )
                break
            passages += self._read_file(one, file)
        return notes

    def _read_file(self, one: Definition, file: FoundFile) -> int:
        """Read one document. Return how many passages it has."""
        try:
            text = read_document(one.folder / file.path, file.path)
        except DocumentUnreachable as error:
            _check_folder(one)
            self._database.put_problem(one.id, replace(file, size=_UNKNOWN), error.message)
            return 0
        except DocumentError as error:
            self._database.put_problem(one.id, file, error.message)
            return 0
        # SQLite stores no lone surrogate, and its substr() ends at a null. Places in the text stay the same.
        text = replace(text, text=clean(text.text).replace("\0", " "))
        chunks = split_document(text.text, text.pages)
        if time.time_ns() - file.modified < _SETTLED_SECONDS * 1e9:
            # It may be written again within the resolution of its time: look at it again next time.
            file = replace(file, size=_UNKNOWN)
        self._database.put(one.id, file, text, chunks)
        return len(chunks)

    def _make_vectors(self, one: Definition, embedder: str, report: Report) -> str:
        """Make the vectors that are missing. Return why that does not work, or ""."""
        if not embedder:
            return ""
        try:
            marked = self._database.count_vectors(one.id, embedder)
            size = self._vectors.size(one.id, embedder) if marked else 0
            if size > marked:
                # Those of changed and removed documents would take the place of others in each search.
                self._vectors.keep(one.id, embedder, self._database.with_vector(one.id, embedder))
                self._vectors.save(one.id, embedder)
            elif size < marked:
                self._database.forget_vectors(one.id)  # The file of the vectors was removed or damaged.
                marked = 0
            if not marked:
                self._vectors.remove(one.id)
            self._add_vectors(one, embedder, report)
        except PaddockError as error:
            return error.message
        return ""

    def _add_vectors(self, one: Definition, embedder: str, report: Report) -> None:
        _, total = self._database.counts().get(one.id, (0, 0))
        last, unsaved = 0, list[int]()
        done = self._database.count_vectors(one.id, embedder)
        while not self._stopped(one):
            batch = self._database.without_vector(one.id, embedder, _BATCH, last)
            if batch:
                report("embedding", done, total)
                self._vectors.add(one.id, embedder, batch)
                last = batch[-1][0]
                unsaved += [id for id, _ in batch]
                done += len(batch)
            if unsaved and (not batch or len(unsaved) >= _SAVED):
                self._vectors.save(one.id, embedder)
                self._database.mark_vectors(unsaved, embedder)
                unsaved = []
            if not batch:
                return


def _check_folder(one: Definition) -> None:
    """Raise KnowledgeError if the whole folder cannot be read any more."""
    try:
        os.scandir(one.folder).close()
    except OSError as error:
        raise _gone(one, error) from error


def _gone(one: Definition, error: OSError) -> KnowledgeError:
    return KnowledgeError(
        f"The folder {one.folder} cannot be read ({error.strerror}). What was read of it earlier is still used. Bring "
        "it back, or remove this knowledge."
    )


def _describe_refused(refused: list[str]) -> str:
    # Names may hold bytes that are no text.
    names = ", ".join(path.encode("utf-8", "replace").decode() for path in refused[:3])
    more = f" and {len(refused) - 3} more" if len(refused) > 3 else ""
    return (
        f"Paddock may not read {names}{more}. What was read there earlier is still used. Change the permissions, or "
        "choose another folder."
    )
