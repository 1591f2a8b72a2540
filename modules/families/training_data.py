"""Data sets for a training: chats (OpenAI, ShareGPT), instructions (Alpaca), pairs, or raw text. Standard library only.

One JSON object a line (.jsonl), a JSON list (.json), or text (.txt, .md), one file or a folder of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.protocol.errors import ModelError

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_ENDINGS = (".jsonl", ".json", ".txt", ".md")
_SHOWN = 5


@dataclass(frozen=True)
class Example:
    """One example: `messages` of a chat that ends with a reply, or `text`."""

    messages: tuple[dict[str, str], ...] = ()
    text: str = ""


@dataclass
class TrainingData:
    """What a data set holds. `broken`: "file, line 3: why" for each row that was left out."""

    examples: list[Example] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Return a sentence on the rows that were left out, if there were any."""
        if not self.broken:
            return []
        more = f" and {len(self.broken) - _SHOWN} more" if len(self.broken) > _SHOWN else ""
        rows = "1 row was" if len(self.broken) == 1 else f"{len(self.broken)} rows were"
        return [f"{rows} left out: {'; '.join(self.broken[:_SHOWN])}{more}."]


def read_training_data(path: Path) -> TrainingData:
    """Read a file, or all files of a folder in the order of their names.

    Raises ModelError where nothing in it can be trained on."""
    data = TrainingData()
    for file in _files(path):
        for place, row in _rows(file, data.broken):
            found = _example(row)
            if isinstance(found, Example):
                data.examples.append(found)
            else:
                data.broken.append(f"{place}: {found}")
    if not data.examples:
        said = f" {data.notes()[0]}" if data.broken else ""
        raise ModelError(
            f"{path.name} has no example to train on.{said} A line is a JSON object with messages, conversations, "
            "instruction and output, prompt and completion, or text."
        )
    return data


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _ENDINGS and file.is_file())
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise ModelError(f"There is no data at {path}. Give a .jsonl, .json, .txt or .md file, or a folder of them.")
    if wrong := [file.name for file in files if file.suffix.lower() not in _ENDINGS]:
        raise ModelError(f"{wrong[0]} is not a kind of file that is read. Convert it to JSON Lines (.jsonl).")
    return files


def _rows(file: Path, broken: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield (place, row) of a file; rows that are no JSON go to `broken`."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        broken.append(f"{file.name}: {error}")
        return
    if file.suffix.lower() in (".txt", ".md"):
        if text.strip():
            yield file.name, {"text": text}
        return
    if file.suffix.lower() == ".json":
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            broken.append(f"{file.name}: {error}")
            return
        yield from ((f"{file.name}, entry {number}", row) for number, row in enumerate(_listed(rows), 1))
        return
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield f"{file.name}, line {number}", json.loads(line)
        except (ValueError, RecursionError) as error:
            broken.append(f"{file.name}, line {number}: {error}")


def _listed(rows: Any) -> list[Any]:
    if isinstance(rows, dict) and isinstance(rows.get("data"), list):
        return list(rows["data"])
    return rows if isinstance(rows, list) else [rows]


def _example(row: Any) -> Example | str:
    """Return the example, or why there is none."""
    if not isinstance(row, Mapping):
        return "not an object"
    if isinstance(turns := row.get("messages", row.get("conversations")), list):
        return _chat(turns, row.get("system"))
    if isinstance(instruction := row.get("instruction"), str) and isinstance(output := row.get("output"), str):
        given = row.get("input")
        asked = f"{instruction}\n\n{given}" if isinstance(given, str) and given.strip() else instruction
        return _pair(asked, output)
    if isinstance(prompt := row.get("prompt"), str) and isinstance(answer := row.get("completion"), str):
        return _pair(prompt, answer)
    if isinstance(text := row.get("text"), str):
        return Example(text=text) if text.strip() else "the text is empty"
    return f"none of its keys is known ({', '.join(map(str, list(row)[:5])) or 'it has none'})"


def _pair(question: str, answer: str) -> Example | str:
    if not question.strip() or not answer.strip():
        return "the question or the answer is empty"
    return Example(({"role": "user", "content": question}, {"role": "assistant", "content": answer}))


def _chat(turns: list[Any], system: object) -> Example | str:
    messages = [{"role": "system", "content": system}] if isinstance(system, str) and system.strip() else []
    for turn in turns:
        if not isinstance(turn, Mapping):
            return "a turn is not an object"
        role = _ROLES.get(str(turn.get("role", turn.get("from", ""))).lower(), "")
        content = turn.get("content", turn.get("value"))
        if not role or not isinstance(content, str):
            return "a turn has no known role, or no text"
        messages.append({"role": role, "content": content})
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()  # a question without an answer teaches nothing
    if not any(message["role"] == "assistant" and message["content"].strip() for message in messages):
        return "it has no reply"
    return Example(tuple(messages))
