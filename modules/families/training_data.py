"""Examples for a training: chats (OpenAI, ShareGPT), instructions (Alpaca), pairs, or raw text. Standard library only.

The host reads them from files of many kinds, and sends them to the worker as JSON Lines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_PAIRS = (("instruction", "output"), ("prompt", "completion"))
_SHOWN = 5


@dataclass(frozen=True)
class Example:
    """One example: `messages` of a chat that ends with a reply, or `text`."""

    messages: tuple[dict[str, str], ...] = ()
    text: str = ""


@dataclass
class TrainingData:
    """What a data set holds. `broken`: "file line 3: why" for each row that was left out."""

    examples: list[Example] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Return a sentence on the rows that were left out, if there were any."""
        if not self.broken:
            return []
        more = f" and {len(self.broken) - _SHOWN} more" if len(self.broken) > _SHOWN else ""
        rows = "1 row was" if len(self.broken) == 1 else f"{len(self.broken)} rows were"
        return [f"{rows} left out: {'; '.join(self.broken[:_SHOWN])}{more}."]


def read_examples(file: Path) -> list[Example]:
    """Return the examples of a file of JSON Lines. Rows that are none are passed over."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [found for row in rows if isinstance(found := to_example(row), Example)]


def to_example(row: object) -> Example | str:
    """Return the example that an object of JSON is, or why it is none."""
    if isinstance(row, str):
        row = {"text": row}
    if not isinstance(row, Mapping):
        return "not an object"
    if isinstance(turns := row.get("messages") or row.get("conversations"), list):
        return _chat(turns, row.get("system"))
    if isinstance(instruction := row.get("instruction"), str) and isinstance(output := row.get("output"), str):
        given = row.get("input")
        asked = f"{instruction}\n\n{given}" if isinstance(given, str) and given.strip() else instruction
        return _pair(asked, output)
    if isinstance(prompt := row.get("prompt"), str) and isinstance(answer := row.get("completion"), str):
        return _pair(prompt, answer)
    if any(key in row for key in ("text", "content")):
        texts = [text for key in ("text", "content") if isinstance(text := row.get(key), str) and text.strip()]
        return Example(text=texts[0]) if texts else "the text is empty"
    if any(question in row and answer in row for question, answer in _PAIRS):
        return "the question or the answer is no text"
    if "messages" in row or "conversations" in row:
        return "its messages are empty or no list"
    return f"none of its keys is known ({', '.join(map(str, list(row)[:5])) or 'it has none'})"


def _pair(question: str, answer: str) -> Example | str:
    if not question.strip() or not answer.strip():
        return "the question or the answer is empty"
    return Example(({"role": "user", "content": question}, {"role": "assistant", "content": answer}))


def _chat(turns: list[object], system: object) -> Example | str:
    messages = [{"role": "system", "content": system}] if isinstance(system, str) and system.strip() else []
    for turn in turns:
        if not isinstance(turn, Mapping):
            return "a turn is not an object"
        # In a table, each turn has the keys of all turns.
        role = _ROLES.get(str(turn.get("role") or turn.get("from")).lower(), "")
        content = next((turn[key] for key in ("content", "value") if turn.get(key) is not None), None)
        if not role or not isinstance(content, str):
            return "a turn has no known role, or no text"
        messages.append({"role": role, "content": content})
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()  # a question without an answer teaches nothing
    if not any(message["role"] == "assistant" and message["content"].strip() for message in messages):
        return "it has no reply"
    return Example(tuple(messages))
