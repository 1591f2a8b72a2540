"""Knowledge on folders of the tests, with vectors that count letters instead of a model's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from modules.chat.knowledge.definitions import Definitions
from modules.chat.knowledge.index_database import IndexDatabase
from modules.chat.knowledge.knowledge import Knowledge
from modules.settings.preferences import Preferences
from modules.settings.user_settings import YamlStore


class LetterVectors:
    """Stands for the process with the vectors: a passage is near if it shares letters. `broken`: fail each call."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], dict[int, str]] = {}
        self.broken: Exception | None = None
        self.installed = True
        self.added = 0

    def _look(self) -> None:
        if self.broken is not None:
            raise self.broken

    def size(self, knowledge: str, embedder: str) -> int:
        """Return how many are kept."""
        self._look()
        return len(self.kept.get((knowledge, embedder), {}))

    def add(self, knowledge: str, embedder: str, passages: Sequence[tuple[int, str]]) -> None:
        """Keep the passages."""
        self._look()
        self.added += len(passages)
        self.kept.setdefault((knowledge, embedder), {}).update(passages)

    def save(self, knowledge: str, embedder: str) -> None:
        """Do nothing."""
        self._look()

    def keep(self, knowledge: str, embedder: str, passages: Sequence[int]) -> None:
        """Forget the other passages."""
        self._look()
        stored = self.kept.get((knowledge, embedder), {})
        self.kept[(knowledge, embedder)] = {id: text for id, text in stored.items() if id in set(passages)}

    def remove(self, knowledge: str) -> None:
        """Forget the passages of a knowledge."""
        self.kept = {key: value for key, value in self.kept.items() if key[0] != knowledge}

    def search(self, knowledge: Sequence[str], embedder: str, question: str, most: int) -> list[int]:
        """Return the passages that share the most letters with the question."""
        self._look()
        wanted = set(question.lower())
        found = [(len(wanted & set(text.lower())), id) for one in knowledge for id, text in self._of(one, embedder)]
        return [id for score, id in sorted(found, reverse=True)[:most] if score]

    def _of(self, knowledge: str, embedder: str) -> list[tuple[int, str]]:
        return list(self.kept.get((knowledge, embedder), {}).items())

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def room(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """Return an opened Knowledge with what it is made of; `room.read(name)` reads one to its end."""
    vectors, settings = LetterVectors(), Preferences(YamlStore(tmp_path / "settings.yaml"))
    clock = SimpleNamespace(now=0.0)
    opened: list[Knowledge] = []

    def open_one(may_choose_folders: Callable[[], bool] = lambda: True) -> Knowledge:
        knowledge = Knowledge(
            Definitions(YamlStore(tmp_path / "knowledge.yaml"), tmp_path / "files"),
            IndexDatabase(tmp_path / "index" / "index.sqlite3"),
            vectors,  # type: ignore[arg-type]
            settings,
            may_choose_folders,
            lambda: clock.now,
        )
        opened.append(knowledge)
        return knowledge

    docs = tmp_path / "docs"
    docs.mkdir()
    yield SimpleNamespace(
        knowledge=open_one(), open=open_one, vectors=vectors, settings=settings, docs=docs, clock=clock, folder=tmp_path
    )
    for one in opened:
        one.close()
