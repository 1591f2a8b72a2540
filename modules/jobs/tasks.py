"""Questions of one's own with known answers: the file, and how often a model is right.

A file has one JSON object a line: {"question": str, "choices": [str, …], "answer": 0} with the number of the right
choice, counted from 0, or {"question": str, "answer": str} for a text that the model has to answer exactly.

A choice is picked by its log-probability as the reply to the question, divided by its UTF-8 bytes, so that a long
choice is not worse for its length alone (acc_norm of lm-evaluation-harness). An exact answer is the greedy reply
without its reasoning; case, white space and punctuation around it do not count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.families.reasoning import find_markers, split_reasoning
from modules.jobs.checks import answer
from modules.jobs.job_spec import JobError
from modules.jobs.scoring import log_probability
from modules.protocol.commands import ChatPrompt, Tokenize
from modules.protocol.errors import Unsupported
from modules.runtime.worker_client import WorkerClient

_LARGEST = 16 << 20
_LONGEST_ANSWER = 256
_SHOWN = 5
# Wrong answers that the results keep.
_KEPT = 200

OnProgress = Callable[[str, float], None]


@dataclass(frozen=True)
class Question:
    """One question. `answer`: the text of the right choice, or the text to answer. No `choices`: an exact answer."""

    question: str
    answer: str
    choices: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """Return the name of its type in the results."""
        return "choice" if self.choices else "exact"


@dataclass(frozen=True)
class Tasks:
    """The questions of a file. `broken`: "line N: why" for each line that is none."""

    questions: list[Question]
    source: str
    broken: list[str]

    def notes(self) -> list[str]:
        """Return sentences on the lines that were passed over: how many, and the first of them by name."""
        if not self.broken:
            return []
        lines = "1 line is" if len(self.broken) == 1 else f"{len(self.broken)} lines are"
        return [f"{lines} no question in {self.source}.", *self.broken[:_SHOWN]]


def read_tasks(path: str) -> Tasks:
    """Return the questions of the file at `path`. Raises JobError where there are none."""
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST:
            raise JobError(f"{file.name} has more than {_LARGEST >> 20} MB. Choose a part of it.")
        lines = file.read_text("utf-8-sig", "replace").split("\n")
    except OSError as error:
        raise JobError(f"{file} cannot be read ({error.strerror}). Name a .jsonl file with questions.") from error
    questions, broken = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _question(line)
        if isinstance(found, Question):
            questions.append(found)
        else:
            broken.append(f"line {number}: {found}")
    if not questions:
        hint = f" The first line that is none is {broken[0]}." if broken else ""
        raise JobError(
            f"{file.name} has no question.{hint} A line is a JSON object with question, choices and the number of the "
            "right choice in answer, or with question and a text in answer."
        )
    return Tasks(questions, file.name, broken)


def _question(line: str) -> Question | str:
    """Return the question, or why there is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return str(error)
    if not isinstance(value, dict) or not isinstance(question := value.get("question"), str) or not question.strip():
        return "it has no question"
    right, choices = value.get("answer"), value.get("choices")
    if choices is None:
        if isinstance(right, str) and _plain(right):
            return Question(question, right)
        return "answer is not a text"
    if not isinstance(choices, list) or not all(isinstance(one, str) and one.strip() for one in choices):
        return "choices are not a list of texts"
    if len(set(choices)) < max(2, len(choices)):
        return "there are fewer than two choices, or two are the same"
    if type(right) is not int or not 0 <= right < len(choices):
        return f"answer is not the number of a choice, from 0 to {len(choices) - 1}"
    return Question(question, choices[right], tuple(choices))


def run_tasks(tasks: Tasks, client: WorkerClient, context: int, file: Path, report: OnProgress) -> dict[str, object]:
    """Ask all questions. Return the results, ready for JSON. `file`: where logits are written in between.

    `context`: the tokens that the model reads at most. Questions of a type that the loader cannot answer are counted
    as skipped, with the reason.
    """
    by_type: dict[str, list[bool]] = {}
    wrong: list[dict[str, str]] = []
    skipped: list[str] = []
    for number, question in enumerate(tasks.questions):
        report(f"Asking the questions of {tasks.source}", number / len(tasks.questions))
        try:
            given = _choose(question, client, context, file) if question.choices else _reply(question, client)
        except Unsupported as error:
            skipped.append(error.message)
            continue
        right = given == question.answer if question.choices else _plain(given) == _plain(question.answer)
        by_type.setdefault(question.type, []).append(right)
        if not right:
            wrong.append({"question": question.question, "expected": question.answer, "answer": given})
    every = [right for found in by_type.values() for right in found]
    return {
        "source": tasks.source,
        **_share(every),
        "by_type": {name: _share(found) for name, found in sorted(by_type.items())},
        "wrong": wrong[:_KEPT],
        "broken": len(tasks.broken),
        "skipped": len(skipped),
        "why_skipped": skipped[0] if skipped else "",
    }


def _share(found: Sequence[bool]) -> dict[str, object]:
    accuracy = sum(found) / len(found) if found else None
    return {"accuracy": accuracy, "correct": sum(found), "total": len(found)}


def _reply(question: Question, client: WorkerClient) -> str:
    text = answer(client, question.question, _LONGEST_ANSWER).text
    markers = find_markers(text)
    for pair in markers:
        if pair.end in text and pair.start not in text:  # the template began the reasoning
            text = pair.start + text
    return split_reasoning(text, markers)[1].strip()


def _choose(question: Question, client: WorkerClient, context: int, file: Path) -> str:
    """Return the choice that the model finds likeliest as the reply."""
    messages: list[dict[str, object]] = [{"role": "user", "content": question.question}]
    prompt = str(client.ask(ChatPrompt(client.next_id(), messages))["prompt"])
    before = list(client.ask(Tokenize(client.next_id(), prompt, True)))

    def worth(choice: str) -> float:
        tokens = list(client.ask(Tokenize(client.next_id(), prompt + choice, True)))
        first = _common_start(before, tokens)
        cut = max(0, len(tokens) - context) if context else 0
        chance = log_probability(client, tokens[cut:], max(1, first - cut), file)
        return chance / len(choice.encode("utf-8", "replace"))

    return max(question.choices, key=worth)


def _common_start(before: Sequence[int], tokens: Sequence[int]) -> int:
    """Return how many tokens both begin with; the end of a prompt may merge with the beginning of a choice."""
    same = 0
    while same < min(len(before), len(tokens) - 1) and before[same] == tokens[same]:
        same += 1
    return same


def _plain(text: str) -> str:
    """Return the text as it is compared."""
    return re.sub(r"\s+", " ", text).strip(" .!?,;:\"'`*").casefold()
