"""A small index in a file: passages of documents, ranked by Okapi BM25 (Robertson and Zaragoza, 2009)."""

from __future__ import annotations

import json
import math
import re
import threading
from collections import Counter
from pathlib import Path

from modules.chat.attachments.document_text import DocumentError, read_document
from modules.files.paths import write_atomically

_K1, _B = 1.5, 0.75


def words_of(text: str) -> list[str]:
    """Return the lower-case words of a text. In scripts without spaces, each letter is a word."""
    return re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+", text.lower())


class Index:
    """Documents in one JSON file: {name: [passage, …]}. Thread-safe. `size`: words in a passage."""

    def __init__(self, path: Path, size: int = 120) -> None:
        self._path = path
        self._size = size
        self._lock = threading.Lock()
        self._documents: dict[str, list[str]] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        self._count()

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
            wanted = set(words_of(query)) & self._rarity.keys()
            scored = []
            for name, text, counts, length in self._passages:
                score = sum(
                    self._rarity[word]
                    * counts[word]
                    * (_K1 + 1)
                    / (counts[word] + _K1 * (1 - _B + _B * length / self._average))
                    for word in wanted
                    if word in counts
                )
                if score > 0:
                    scored.append((name, text, score))
        return sorted(scored, key=lambda entry: -entry[2])[:most]

    def _save(self, documents: dict[str, list[str]]) -> None:
        write_atomically(self._path, json.dumps(documents, ensure_ascii=False))
        self._documents = documents
        self._count()

    def _count(self) -> None:
        """Count the words of every passage, and compute the inverse document frequency of each word."""
        self._passages = [
            (name, text, counts, sum(counts.values()))
            for name, passages in self._documents.items()
            for text in passages
            for counts in [Counter(words_of(text))]
        ]
        total = len(self._passages)
        self._average = sum(length for *_, length in self._passages) / total if total else 1.0
        holding = Counter(word for _, _, counts, _ in self._passages for word in counts)
        self._rarity = {word: math.log(1 + (total - n + 0.5) / (n + 0.5)) for word, n in holding.items()}
