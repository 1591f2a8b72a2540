"""A small index in a file: passages of documents, ranked by the words that they share with a question."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from modules.chat.attachments.document_text import DocumentError, read_document
from modules.chat.attachments.passages import PassageRanking
from modules.files.paths import write_atomically


class Index:
    """Documents in one JSON file: {name: [passage, …]}. Thread-safe. `size`: words in a passage."""

    def __init__(self, path: Path, size: int = 120) -> None:
        self._path = path
        self._size = size
        self._lock = threading.Lock()
        self._documents: dict[str, list[str]] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        self._rank()

    def documents(self) -> list[tuple[str, int]]:
        """Return the name and the number of passages of each document."""
        with self._lock:
            return [(name, len(passages)) for name, passages in self._documents.items()]

    def add_file(self, path: str) -> None:
        """Add a document under its own name. Raises ValueError if it has no text that can be read."""
        try:
            document = read_document(Path(path))
        except DocumentError as error:
            raise ValueError(error.message) from None
        self.add(document.name, document.text)

    def add(self, name: str, text: str) -> None:
        """Add a document, or replace the one of that name."""
        words = text.split()
        passages = [" ".join(words[at : at + self._size]) for at in range(0, len(words), self._size)]
        with self._lock:
            self._save({**self._documents, name: passages})

    def remove(self, name: str) -> None:
        """Remove a document. Raises ValueError if there is none of that name."""
        with self._lock:
            if name not in self._documents:
                raise ValueError(f"There is no document named {name!r}")
            self._save({known: passages for known, passages in self._documents.items() if known != name})

    def search(self, query: str, most: int) -> list[tuple[str, str, float]]:
        """Return (document, passage, score) of passages that share words with the query, best first."""
        with self._lock:
            found = self._ranking.search(query)[:most]
            return [(*self._passages[place], score) for place, score in found]

    def _save(self, documents: dict[str, list[str]]) -> None:
        write_atomically(self._path, json.dumps(documents, ensure_ascii=False))
        self._documents = documents
        self._rank()

    def _rank(self) -> None:
        self._passages = [(name, text) for name, passages in self._documents.items() for text in passages]
        self._ranking = PassageRanking([text for _, text in self._passages])
