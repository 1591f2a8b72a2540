"""Collect facts about a model, each with its evidence. The first source of a fact is trusted most."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from modules.files.printable_name import printable_name
from modules.protocol.model_facts import Evidence, ModelFacts, Projector
from modules.protocol.model_purpose import explain_no_chat

T = TypeVar("T")
_FIELDS = frozenset(field.name for field in dataclasses.fields(ModelFacts)) - {
    "name",
    "path",
    "projectors",
    "evidence",
    "problems",
    "warnings",
}


class FactsBuilder:
    """Collects facts, problems and warnings about one model. Add the most trusted source first."""

    def __init__(self, name: str, path: str) -> None:
        self._name, self._path = name, path
        self._facts: dict[str, Any] = {}
        self._evidence: list[Evidence] = []
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.projectors: list[Projector] = []

    def add(self, fact: str, value: object, source: str) -> None:
        """Add a fact; values of None, 0, "" and () are ignored.

        A later source never replaces an earlier one, but a different value is kept as evidence. Facts without a field
        in ModelFacts are only evidence.
        """
        if value is None or value == 0 and value is not False or value in ("", ()):
            return
        if fact in self._facts and self._facts[fact] == value:
            return
        if fact in _FIELDS:
            self._facts.setdefault(fact, value)
        self._evidence.append(Evidence(fact, _words(value), source))

    def add_default(self, fact: str, value: object, source: str) -> None:
        """Add a fact that follows from others, unless it is known already."""
        if fact not in self._facts:
            self.add(fact, value, source)

    def get(self, fact: str, default: T) -> T:
        """Return the value of a fact, or `default` if it is unknown so far."""
        value: T = self._facts.get(fact, default)
        return value

    def build(self) -> ModelFacts:
        """Return the facts. File names that are not valid UTF-8 are made printable."""
        if self._path != printable_name(self._path):
            self.problems.insert(
                0,
                f"The model cannot be loaded under this name: {printable_name(self._path)} is not valid UTF-8. "
                "Rename it.",
            )
        if why := explain_no_chat(printable_name(self._name), self.get("purpose", ""), self.get("architecture", "")):
            self.warnings.insert(0, why)
        return ModelFacts(
            name=printable_name(self._name),
            path=printable_name(self._path),
            projectors=tuple(self.projectors),
            evidence=tuple(Evidence(item.fact, item.value, printable_name(item.source)) for item in self._evidence),
            problems=tuple(map(printable_name, self.problems)),
            warnings=tuple(map(printable_name, self.warnings)),
            **{"format": "unknown", **self._facts},
        )


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
