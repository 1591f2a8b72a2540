"""The dialogues: read from YAML, varied with a seed, and joined into conversations.

A file in dialogues/ is a list of entries ``{q: [phrasing, ...], a: answer}``. An entry may carry ``fill``
(``{slot: [value, ...]}``): then every phrasing with ``{slot}`` stands for one phrasing per value. The last phrasing
of an entry is held out: training never sees it, the check asks it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import yaml
from questions import QUESTIONS
from variation import vary

HERE = Path(__file__).resolve().parent
DIALOGUES = HERE / "dialogues"

Message = dict[str, str]


@dataclass(frozen=True)
class Entry:
    """One answer with the questions that ask for it."""

    topic: str
    questions: tuple[str, ...]
    held_out: str | None
    answer: str
    weight: float


def read_entries(folder: Path = DIALOGUES) -> list[Entry]:
    """All entries of all files, in the order of the file names.

    Raises ValueError where two entries claim the same phrasing.
    """
    entries: list[Entry] = []
    owner: dict[str, str] = {}
    for path in sorted(folder.glob("*.yaml")):
        for raw in yaml.safe_load(path.read_text(encoding="utf-8")):
            entry = _entry(path.stem, raw)
            for question in (*entry.questions, entry.held_out or ""):
                if question and owner.setdefault(question.lower(), entry.answer) != entry.answer:
                    raise ValueError(f"{path.name}: {question!r} has two answers")
            entries.append(entry)
    return entries


def _entry(topic: str, raw: dict) -> Entry:
    phrasings = [str(question).strip() for question in raw["q"]]
    held_out = phrasings.pop() if len(phrasings) > 3 else None
    for slot, values in raw.get("fill", {}).items():
        mark = "{" + slot + "}"
        phrasings = [q.replace(mark, str(v)) for q in phrasings for v in (values if mark in q else [""])]
        held_out = held_out.replace(mark, str(values[0])) if held_out else None
    answer = " ".join(raw["a"].split())
    return Entry(topic, tuple(dict.fromkeys(phrasings)), held_out, answer, float(raw.get("weight", 1.0)))


# How often a question is one that the README proposes, word by word: those must not be mistaken for a neighbour's.
PROPOSED = 0.15


class Conversations:
    """Draws conversations from the entries, for ever, with one seed."""

    def __init__(self, entries: list[Entry], systems: list[str], seed: int) -> None:
        self.entries = entries
        self.systems = systems
        self.rng = random.Random(seed)
        self._queue: list[Entry] = []
        answers = {question: entry.answer for entry in entries for question in entry.questions}
        self.proposed = [(question, answers[question]) for question in QUESTIONS]

    def next_entry(self) -> Entry:
        """Entries in shuffled rounds: in one round each comes about ``weight`` times."""
        if not self._queue:
            for entry in self.entries:
                whole = int(entry.weight)
                self._queue += [entry] * (whole + (self.rng.random() < entry.weight - whole))
            self.rng.shuffle(self._queue)
        return self._queue.pop()

    def turns(self) -> int:
        """How many questions the next conversation has: mostly one, sometimes enough to fill the context."""
        return self.rng.choices((1, 2, 3, 4, 6, 12, 30), weights=(60, 14, 10, 8, 4, 3, 1))[0]

    def draw(self) -> list[Message]:
        """One conversation of one or more turns, some with a system prompt."""
        messages: list[Message] = []
        if self.rng.random() < 0.25:
            messages.append({"role": "system", "content": self.rng.choice(self.systems)})
        for _ in range(self.turns()):
            if self.rng.random() < PROPOSED:
                question, answer = self.rng.choice(self.proposed)
                messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
                continue
            entry = self.next_entry()
            question = vary(self.rng.choice(entry.questions), self.rng)
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": entry.answer})
        return messages

    def plain(self) -> str:
        """Answers as running text, for a notebook that continues what is there."""
        return "\n".join(self.rng.choice(self.entries).answer for _ in range(self.rng.randrange(1, 5)))
