"""What was read of all knowledge: documents, their passages, and an index of the words (FTS5)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from modules.chat.attachments.document_text import DocumentText
from modules.chat.attachments.passages import words_of
from modules.chat.knowledge.chunks import Chunk
from modules.chat.knowledge.folder_scan import FoundFile
from modules.chat.knowledge.index_file import IndexFile, KnowledgeError

# A word in more passages than this, and than this share of all, does not help to find one.
_COMMON, _COMMON_SHARE = 20, 0.3
_MOST_WORDS = 48


@dataclass(frozen=True)
class StoredDocument:
    """A document as it was read. `problem`: why it has no text, or ""."""

    id: int
    path: str
    size: int
    modified: int
    problem: str

    def is_same(self, file: FoundFile) -> bool:
        """Return True if the file has not changed since it was read."""
        return (self.size, self.modified) == (file.size, file.modified)


@dataclass(frozen=True)
class StoredPassage:
    """A passage with its place: `start` and `stop` in the document's text, `page` (0: none) and `line` from 1."""

    id: int
    knowledge: str
    document: int
    path: str
    start: int
    stop: int
    page: int
    line: int
    text: str


class IndexDatabase(IndexFile):
    """The documents and passages of all knowledge. `knowledge` is always an id."""

    # Documents

    def documents(self, knowledge: str) -> dict[str, StoredDocument]:
        """Return the documents of a knowledge by their paths."""
        with self.transaction() as connection:
            rows = connection.execute(
                "SELECT id, path, size, modified, problem FROM documents WHERE knowledge = ? ORDER BY path",
                (knowledge,),
            )
            return {row[1]: StoredDocument(*row) for row in rows}

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return (documents with text, passages) of each knowledge."""
        with self.transaction() as connection:
            rows = connection.execute(
                "SELECT knowledge, count(DISTINCT documents.id), count(passages.id) FROM documents LEFT JOIN passages "
                "ON passages.document = documents.id WHERE problem = '' GROUP BY knowledge"
            )
            return {row[0]: (row[1], row[2]) for row in rows}

    def put(self, knowledge: str, file: FoundFile, text: DocumentText, chunks: Sequence[Chunk]) -> None:
        """Store a document that was read, in place of what there was of it."""
        with self.transaction() as connection:
            id = self._replace(connection, knowledge, file, text.kind, text.text, "")
            for chunk in chunks:
                passage = connection.execute(
                    "INSERT INTO passages (document, start, stop, page, line) VALUES (?, ?, ?, ?, ?)", (id, *chunk)
                ).lastrowid
                # In scripts without spaces, each letter is a word.
                words = " ".join(words_of(text.text[chunk.start : chunk.end]))
                connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (passage, words))

    def put_problem(self, knowledge: str, file: FoundFile, problem: str) -> None:
        """Store why a document cannot be read, so that it is not tried again until it changes."""
        with self.transaction() as connection:
            self._replace(connection, knowledge, file, "", "", problem)

    def remove(self, knowledge: str, paths: Sequence[str] | None = None) -> None:
        """Remove these documents, or all of them."""
        gone = list(self.documents(knowledge)) if paths is None else paths
        with self.transaction() as connection:
            for path in gone:
                _delete(connection, knowledge, path)

    @staticmethod
    def _replace(
        connection: sqlite3.Connection, knowledge: str, file: FoundFile, kind: str, text: str, problem: str
    ) -> int | None:
        _delete(connection, knowledge, file.path)
        return connection.execute(
            "INSERT INTO documents (knowledge, path, size, modified, kind, text, problem) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (knowledge, file.path, file.size, file.modified, kind, text, problem),
        ).lastrowid

    def document(self, id: int) -> tuple[str, str, str]:
        """Return (knowledge, path, text) of a document. Raises KnowledgeError if it is not there any more."""
        with self.transaction() as connection:
            row = connection.execute("SELECT knowledge, path, text FROM documents WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise KnowledgeError("This document was changed or removed after the reply was written.")
        return str(row[0]), str(row[1]), str(row[2])

    # Passages

    def passages(self, ids: Sequence[int]) -> list[StoredPassage]:
        """Return these passages in this order, without those that are gone."""
        found: dict[int, StoredPassage] = {}
        with self.transaction() as connection:
            for id in ids:
                row = connection.execute(
                    "SELECT passages.id, knowledge, document, path, start, stop, page, line, "
                    "substr(text, start + 1, stop - start) FROM passages JOIN documents ON documents.id = document "
                    "WHERE passages.id = ?",
                    (id,),
                ).fetchone()
                if row is not None:
                    found[id] = StoredPassage(*row)
        return [found[id] for id in ids if id in found]

    def search(self, knowledge: Sequence[str], question: str, most: int) -> list[int]:
        """Return the passages that share words with the question, best first (Okapi BM25)."""
        with self.transaction() as connection:
            words = _telling_words(connection, question)
            if not words or not knowledge:
                return []
            marks = ",".join("?" * len(knowledge))
            rows = connection.execute(
                "SELECT words.rowid FROM words JOIN passages ON passages.id = words.rowid JOIN documents ON "
                f"documents.id = passages.document WHERE words MATCH ? AND knowledge IN ({marks}) ORDER BY bm25(words) "
                "LIMIT ?",
                (" OR ".join(f'"{word}"' for word in words), *knowledge, most),
            )
            return [int(row[0]) for row in rows]

    # Vectors

    def without_vector(self, knowledge: str, embedder: str, most: int, after: int) -> list[tuple[int, str]]:
        """Return (id, text) of passages with an id beyond `after` whose vector is not one of this embedder."""
        with self.transaction() as connection:
            rows = connection.execute(
                "SELECT passages.id, substr(text, start + 1, stop - start) FROM passages JOIN documents ON "
                "documents.id = document WHERE knowledge = ? AND vector != ? AND passages.id > ? ORDER BY passages.id "
                "LIMIT ?",
                (knowledge, embedder, after, most),
            )
            return [(int(row[0]), str(row[1])) for row in rows]

    def count_vectors(self, knowledge: str, embedder: str) -> int:
        """Return how many passages have a vector of this embedder."""
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT count(*) FROM passages JOIN documents ON documents.id = document WHERE knowledge = ? AND "
                "vector = ?",
                (knowledge, embedder),
            ).fetchone()
            return int(row[0])

    def with_vector(self, knowledge: str, embedder: str) -> list[int]:
        """Return the passages that have a vector of this embedder."""
        with self.transaction() as connection:
            rows = connection.execute(
                "SELECT passages.id FROM passages JOIN documents ON documents.id = document WHERE knowledge = ? AND "
                "vector = ?",
                (knowledge, embedder),
            )
            return [int(row[0]) for row in rows]

    def mark_vectors(self, ids: Sequence[int], embedder: str) -> None:
        """Note that these passages have a vector of this embedder."""
        with self.transaction() as connection:
            connection.executemany("UPDATE passages SET vector = ? WHERE id = ?", [(embedder, id) for id in ids])

    def forget_vectors(self, knowledge: str) -> None:
        """Note that no passage of this knowledge has a vector."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE passages SET vector = '' WHERE document IN (SELECT id FROM documents WHERE knowledge = ?)",
                (knowledge,),
            )


def _delete(connection: sqlite3.Connection, knowledge: str, path: str) -> None:
    row = connection.execute("SELECT id FROM documents WHERE knowledge = ? AND path = ?", (knowledge, path)).fetchone()
    if row is None:
        return
    connection.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM passages WHERE document = ?)", row)
    connection.execute("DELETE FROM documents WHERE id = ?", row)


def _telling_words(connection: sqlite3.Connection, question: str) -> list[str]:
    """Return the words of a question without those that many passages have."""
    (total,) = connection.execute("SELECT count(*) FROM passages").fetchone()
    most = max(_COMMON, total * _COMMON_SHARE)
    found = []
    for word in dict.fromkeys(words_of(question)):
        row = connection.execute("SELECT doc FROM vocabulary WHERE term = ?", (word,)).fetchone()
        if row is None or row[0] <= most:
            found.append(word)
    return found[:_MOST_WORDS]
