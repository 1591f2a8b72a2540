"""Text for calibration and evaluation: files, folders, chat data sets, and the samples that ship.

A row is {"text": str}, or {"messages": [{"role", "content"}, …]}, which the model's own template turns into text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.jobs.job_spec import JobError

SAMPLES = Path(__file__).parent / "samples"
_CALIBRATION, _HELD_OUT = "calibration.jsonl", "held_out.jsonl"
_LARGEST = 64 << 20
_ENDINGS = (".txt", ".md", ".jsonl", ".json")
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


@dataclass(frozen=True)
class TextRows:
    """`rows` in order; `source`: where they came from; `sha256`: of their content; `broken`: lines passed over."""

    rows: list[dict[str, Any]]
    source: str
    sha256: str
    broken: list[str]


def calibration_rows(path: str) -> TextRows:
    """Return the rows of the file or folder at `path`, "" for the shipped calibration sample. Raises JobError."""
    return _read(Path(path) if path else SAMPLES / _CALIBRATION, path or "the calibration sample that ships")


def evaluation_rows(path: str) -> TextRows:
    """Return the rows of the file or folder at `path`, "" for the shipped held-out sample. Raises JobError."""
    return _read(Path(path) if path else SAMPLES / _HELD_OUT, path or "the held-out sample that ships")


def _read(path: Path, source: str) -> TextRows:
    if not path.exists():
        raise JobError(
            f"There is no text at {path}. Name a .txt, .md, .json or .jsonl file, or a folder of such files."
        )
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _ENDINGS) if path.is_dir() else [path]
    rows: list[dict[str, Any]] = []
    broken: list[str] = []
    size = 0
    for file in files:
        size += file.stat().st_size
        if size > _LARGEST:
            raise JobError(f"{path} holds more than {_LARGEST >> 20} MB of text. Choose a part of it.")
        rows += _rows_of(file, broken)
    if not rows:
        hint = f" {len(broken)} lines are broken, the first: {broken[0]}." if broken else ""
        raise JobError(f"{path} holds no text.{hint} Choose a file with some pages of text like what the model writes.")
    digest = hashlib.sha256(json.dumps(rows, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace"))
    return TextRows(rows, source, digest.hexdigest(), broken)


def _rows_of(file: Path, broken: list[str]) -> Iterator[dict[str, Any]]:
    raw = file.read_bytes()
    if b"\0" in raw[:4096]:
        raise JobError(f"{file.name} is not a text file. Choose a .txt, .md, .json or .jsonl file.")
    text = raw.decode("utf-8-sig", "replace")
    suffix = file.suffix.lower()
    if suffix == ".jsonl":
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and (row := _parsed(line, f"{file.name} line {number}", broken)):
                yield row
    elif suffix == ".json":
        try:
            values = json.loads(text)
        except ValueError as error:
            broken.append(f"{file.name}: {error}")
            return
        for number, value in enumerate(values if isinstance(values, list) else [values], 1):
            if row := _row(value):
                yield row
            else:
                broken.append(f"{file.name} entry {number} has no text and no messages")
    elif text.strip():
        yield {"text": text}


def _parsed(line: str, place: str, broken: list[str]) -> dict[str, Any] | None:
    try:
        row = _row(json.loads(line))
    except ValueError as error:
        broken.append(f"{place}: {error}")
        return None
    if row is None:
        broken.append(f"{place}: it has no text and no messages")
    return row


def _row(value: Any) -> dict[str, Any] | None:
    """Return a row from a text, {"text"}, OpenAI's {"messages"}, ShareGPT's {"conversations"}, or Alpaca's fields."""
    if isinstance(value, str):
        return {"text": value} if value.strip() else None
    if not isinstance(value, dict):
        return None
    if isinstance(text := value.get("text"), str) and text.strip():
        return {"text": text}
    turns = value.get("messages") or value.get("conversations")
    if isinstance(turns, list):
        messages = [_message(turn) for turn in turns if isinstance(turn, dict)]
        return {"messages": messages} if messages and all(messages) and len(messages) == len(turns) else None
    if isinstance(value.get("instruction"), str) and isinstance(value.get("output"), str):
        question = "\n".join(filter(None, [value["instruction"], str(value.get("input") or "")]))
        return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": value["output"]}]}
    return None


def _message(turn: dict[str, Any]) -> dict[str, str]:
    role = _ROLES.get(str(turn.get("role") or turn.get("from")), "")
    content = turn.get("content", turn.get("value"))
    return {"role": role, "content": content} if role and isinstance(content, str) else {}
