"""Vectors of passages, in a process of their own with packages of their own: the host imports none of them."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from modules.chat.knowledge.index_file import KnowledgeError
from modules.plugins import requirements
from modules.system.json_process import JsonProcess, RequestTimeout

# The model that the package brings.
PACKAGE_MODEL = "wordllama"
PACKAGES = ("wordllama==0.4.0.post1", "usearch==2.26.5")
# Below this similarity, a passage has nothing to do with a question. Other models have scales of their own.
_PACKAGE_FLOOR = 0.2
_SECONDS = 120.0
# Texts that a model of the pool gets at once.
_BATCH = 8

Embed = Callable[[str, Sequence[str]], "list[list[float]]"]


class Vectors:
    """The vectors of all knowledge. Thread-safe. Methods raise KnowledgeError, or the error of a model.

    `folder`: where the vectors lie; `packages`: where the packages lie. `embed(model, texts)` returns vectors of a
    model in the models folder.
    """

    def __init__(self, folder: Path, packages: Path, embed: Embed) -> None:
        self._folder, self._packages, self._embed = folder, packages, embed
        self._process = JsonProcess("modules.chat.knowledge.vector_process")
        self._installing = threading.Lock()

    @property
    def installed(self) -> bool:
        """Return True if the packages are there."""
        return all(need.state in ("there", "conflict") for need in requirements.check(PACKAGES, self._packages))

    def install(self, report: Callable[[str], None] = lambda text: None) -> None:
        """Install the packages, unless they are there; blocking. Raises PaddockError."""
        with self._installing:
            if not self.installed:
                requirements.install(PACKAGES, self._packages, report=report)

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def size(self, knowledge: str, embedder: str) -> int:
        """Return how many vectors of this embedder are kept."""
        return int(self._ask("size", knowledge, embedder)["size"])

    def add(self, knowledge: str, embedder: str, passages: Sequence[tuple[int, str]]) -> None:
        """Add the vectors of (id, text). `save` keeps them."""
        keys, texts = [id for id, _ in passages], [text for _, text in passages]
        if embedder == PACKAGE_MODEL:
            self._ask("add", knowledge, embedder, keys=keys, texts=texts)
            return
        vectors = [row for at in range(0, len(texts), _BATCH) for row in self._embed(embedder, texts[at : at + _BATCH])]
        self._ask("add", knowledge, embedder, keys=keys, vectors=vectors)

    def save(self, knowledge: str, embedder: str) -> None:
        """Write the vectors to the disk."""
        self._ask("save", knowledge, embedder)

    def keep(self, knowledge: str, embedder: str, passages: Sequence[int]) -> None:
        """Remove all vectors but those of these passages. `save` keeps that."""
        self._ask("keep", knowledge, embedder, keys=list(passages))

    def remove(self, knowledge: str) -> None:
        """Remove all vectors of a knowledge."""
        for file in self._folder.glob(f"{knowledge}-*.usearch"):
            with contextlib.suppress(OSError):
                file.unlink()

    def search(self, knowledge: Sequence[str], embedder: str, question: str, most: int) -> list[int]:
        """Return the passages whose vectors are nearest to that of the question, best first."""
        asked: dict[str, Any] = {"text": question}
        floor = _PACKAGE_FLOOR
        if embedder != PACKAGE_MODEL:
            asked, floor = {"vector": self._embed(embedder, [question])[0]}, -1.0
        found: list[tuple[float, int]] = []
        for one in knowledge:
            answer = self._ask("search", one, embedder, most=most, **asked)
            found += zip(answer["similarities"], answer["keys"], strict=True)
        return [key for similarity, key in sorted(found, reverse=True)[:most] if similarity >= floor]

    def _ask(self, do: str, knowledge: str, embedder: str, **values: object) -> dict[str, Any]:
        request = {"do": do, "packages": str(self._packages), "file": str(self._file(knowledge, embedder)), **values}
        try:
            answer = self._process.ask(request, _SECONDS)
        except RequestTimeout:
            raise KnowledgeError("The vectors of the knowledge took too long. Try again.") from None
        except OSError as error:
            raise KnowledgeError(f"{sys.executable} could not be started ({error.strerror}). Try again.") from error
        if answer is None or "error" in answer:
            why = str(answer["error"]) if answer else "its process ended"
            raise KnowledgeError(
                f"Search by meaning does not work ({why}). Choose another model for it, or words only.", detail=why
            )
        return answer

    def _file(self, knowledge: str, embedder: str) -> Path:
        return self._folder / f"{knowledge}-{hashlib.sha256(embedder.encode()).hexdigest()[:8]}.usearch"
