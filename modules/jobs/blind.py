"""Blind comparison: a person judges the answers of two models, A and B, without knowing which model wrote which.

The answers are those that a comparison stored. A random order is drawn for each prompt and kept with the votes in the
job's folder, so a reload shows the same order and reveals nothing.
"""

from __future__ import annotations

import dataclasses
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modules.jobs.job_spec import JobError, restore
from modules.jobs.store import JobStore

CHOICES = ("a", "b", "equal")


@dataclass(frozen=True)
class BlindTest:
    """One blind comparison.

    models: places of the two models among those of the job. swapped: for each prompt, True if A is the second of them.
    votes: for each prompt one of CHOICES, or "". revealed: the names are shown, and no vote can be changed.
    """

    models: list[int]
    swapped: list[bool]
    votes: list[str]
    revealed: bool = False


class BlindTests:
    """The blind comparisons of all jobs. Earlier ones of a job stay stored; the newest is shown. Thread-safe."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._lock = threading.Lock()

    def find(self, id: str) -> dict[str, Any] | None:
        """Return what the page shows of a job's newest blind comparison; None if there is none."""
        tests = self._tests(id)
        return _describe(tests[-1], self._answers(id)) if tests else None

    def start(self, id: str, first: str, second: str) -> dict[str, Any]:
        """Begin a blind comparison of two models of the job. Raises JobError."""
        answers = self._answers(id)
        models = list(answers[0]["answers"])
        if first == second or not {first, second} <= set(models):
            raise JobError(f"Choose two models of this comparison: {', '.join(models)}.")
        texts = [(entry["answers"][first], entry["answers"][second]) for entry in answers]
        if all(one == other for one, other in texts):
            raise JobError(f"{first} and {second} answer all prompts in the same words. There is nothing to judge.")
        swapped = [random.random() < 0.5 for _ in answers]
        test = BlindTest([models.index(first), models.index(second)], swapped, [""] * len(answers))
        with self._lock:
            self._write(id, [*self._tests(id), test])
        return _describe(test, answers)

    def vote(self, id: str, place: int, better: str) -> dict[str, Any]:
        """Store which answer to the prompt `place` is better. The last vote reveals the names. Raises JobError."""
        answers = self._answers(id)
        with self._lock:
            tests = self._tests(id)
            if not tests or tests[-1].revealed:
                raise JobError("The names are shown already, so this vote would not be blind. Judge again.")
            test = tests[-1]
            if better not in CHOICES or place not in _pairs(test, answers):
                raise JobError(f"A vote is one of {', '.join(CHOICES)}, for a prompt whose answers differ. Vote again.")
            votes = [*test.votes]
            votes[place] = better
            test = dataclasses.replace(test, votes=votes)
            whole = all(test.votes[number] for number in _pairs(test, answers))
            return self._replace(id, [*tests[:-1], dataclasses.replace(test, revealed=whole)], answers)

    def reveal(self, id: str) -> dict[str, Any]:
        """Show the names before all votes are there. Raises JobError."""
        answers = self._answers(id)
        with self._lock:
            tests = self._tests(id)
            if not tests:
                raise JobError("No blind comparison was begun for this job. Begin one first.")
            return self._replace(id, [*tests[:-1], dataclasses.replace(tests[-1], revealed=True)], answers)

    def _replace(self, id: str, tests: list[BlindTest], answers: list[dict[str, Any]]) -> dict[str, Any]:
        self._write(id, tests)
        return _describe(tests[-1], answers)

    def _answers(self, id: str) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = self._store.results(id).get("answers") or []
        if not answers or "answers" not in answers[0]:
            raise JobError(f"Job {id[:20]} has no answers of several models. Compare two models first.")
        return answers

    def _tests(self, id: str) -> list[BlindTest]:
        return [restore(BlindTest, test) for test in self._store.blind(id)]

    def _write(self, id: str, tests: list[BlindTest]) -> None:
        self._store.write_blind(id, [dataclasses.asdict(test) for test in tests])


def _pairs(test: BlindTest, answers: list[dict[str, Any]]) -> dict[int, tuple[str, str]]:
    """Return place of a prompt -> texts A and B, for prompts with two different answers."""
    found = {}
    for place, (entry, swapped) in enumerate(zip(answers, test.swapped, strict=True)):
        first, second = _texts(test, entry["answers"])
        if first != second:
            found[place] = (second, first) if swapped else (first, second)
    return found


def _texts(test: BlindTest, answers: Mapping[str, str]) -> list[str]:
    texts = list(answers.values())
    return [texts[place] for place in test.models]


def _describe(test: BlindTest, answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return {"pairs", "same", "revealed", "tally"}. Before the names are revealed, it hides which model is A."""
    pairs = _pairs(test, answers)
    names = [list(answers[0]["answers"])[place] for place in test.models]
    tally = dict.fromkeys([*names, "equal"], 0)
    rows = []
    for place, (a, b) in pairs.items():
        wrote = names[::-1] if test.swapped[place] else names
        vote = test.votes[place]
        if vote:
            tally["equal" if vote == "equal" else wrote[CHOICES.index(vote)]] += 1
        row = {"place": place, "prompt": answers[place]["prompt"], "a": a, "b": b, "vote": vote}
        rows.append({**row, "models": wrote if test.revealed else None})
    same = len(answers) - len(pairs)
    return {"pairs": rows, "same": same, "revealed": test.revealed, "tally": tally if test.revealed else None}
