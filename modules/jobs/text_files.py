"""Rows of text in files: plain text, JSON, JSON Lines and Parquet, JSON also compressed with gzip.

A row is {"text": str}, or {"messages": [{"role", "content"}, …]}, which the model's own template turns into text.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from modules.jobs.job_spec import JobError

Row = dict[str, Any]
ENDINGS = (".txt", ".md", ".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet")
ENDINGS_TEXT = ".txt, .md, .json, .jsonl (also .gz) or .parquet"
LARGEST = 64 << 20
_COLUMNS = ("text", "content", "messages", "conversations")
_ALPACA = ("instruction", "output")
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def file_rows(file: Path, broken: list[str]) -> Iterator[Row]:
    """Yield the rows of one file; add "file, place: why" to `broken` for each row that is none. Raises JobError."""
    try:
        yield from _rows(file, broken)
    except (OSError, EOFError, zlib.error) as error:
        raise JobError(
            f"{file.name} cannot be read ({error}). It may be damaged. Copy or download it again."
        ) from error


def _rows(file: Path, broken: list[str]) -> Iterator[Row]:
    name = file.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        yield from _parquet_rows(file, broken)
        return
    text = _read_text(file)
    if name.endswith(".jsonl"):
        yield from _line_rows(file.name, text.split("\n"), broken)
    elif name.endswith(".json"):
        yield from _json_rows(file.name, text, broken)
    elif text.strip():
        yield {"text": text}


def _read_text(file: Path) -> str:
    compressed = file.name.lower().endswith(".gz")
    with gzip.open(file) if compressed else file.open("rb") as stream:
        raw = stream.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise JobError(f"{file.name} holds more than {LARGEST >> 20} MB of text. Choose a part of it.")
    if b"\0" in raw[:4096]:
        raise JobError(f"{file.name} is not a text file. Choose a {ENDINGS_TEXT} file.")
    return raw.decode("utf-8-sig", "replace")


def first_lines(file: Path, count: int, broken: list[str]) -> Iterator[Row]:
    """Yield the rows of the first `count` lines of a compressed JSON Lines file, which may be of any size."""
    try:
        with gzip.open(file, "rt", encoding="utf-8", errors="replace") as stream:
            lines = [stream.readline(LARGEST) for _ in range(count)]
    except (OSError, EOFError, zlib.error) as error:
        raise JobError(f"{file.name} is damaged ({error}). Delete {file}, then start the job again.") from error
    yield from _line_rows(file.name, lines, broken)


def _line_rows(name: str, lines: Iterable[str], broken: list[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            broken.append(f"{name} line {number}: {error}")
            continue
        yield from _valid(value, f"{name} line {number}", broken)


def _json_rows(name: str, text: str, broken: list[str]) -> Iterator[Row]:
    """Yield the rows of a list, of one object, or of one object a line, as data sets often have it in .json files."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        lines = text.split("\n")
        if not text.lstrip().startswith("{") or sum(line.strip().startswith("{") for line in lines) < 2:
            broken.append(f"{name}: {error}")
            return
        yield from _line_rows(name, lines, broken)
        return
    for number, entry in enumerate(value if isinstance(value, list) else [value], 1):
        yield from _valid(entry, f"{name} entry {number}", broken)


def _parquet_rows(file: Path, broken: list[str]) -> Iterator[Row]:
    # Only who reads such a file waits for this import.
    from arro3.core import RecordBatch
    from arro3.io import read_parquet

    with _parquet_errors(file):
        reader = read_parquet(file)
        there = list(reader.schema.names)
    wanted = [name for name in (*_COLUMNS, *_ALPACA, "input") if name in there]
    if not set(wanted) & set(_COLUMNS) and not set(_ALPACA) <= set(wanted):
        raise JobError(
            f"{file.name} has none of the columns {', '.join(_COLUMNS)}. Its columns are: {_listed(there)}. Rename the "
            "one that holds the text to text."
        )
    number = 0
    while True:
        with _parquet_errors(file):
            if (batch := next(reader, None)) is None:
                return
            columns = [column.to_pylist() for column in RecordBatch.from_arrow(batch).select(wanted).columns]
        for values in zip(*columns, strict=True):
            number += 1
            yield from _valid(dict(zip(wanted, values, strict=True)), f"{file.name} row {number}", broken)


@contextlib.contextmanager
def _parquet_errors(file: Path) -> Iterator[None]:
    """Raise JobError where the library cannot read the file. Its errors have no common class, and some derive from
    BaseException alone, as pyo3's panics do."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise JobError(
            f"{file.name} cannot be read as Parquet ({error}). If it is damaged, download it again."
        ) from None


def _valid(value: Any, place: str, broken: list[str]) -> Iterator[Row]:
    if row := to_row(value):
        yield row
    else:
        broken.append(f"{place}: {_why(value)}")


def to_row(value: Any) -> Row | None:
    """Return a row from a text, {"text"} or {"content"}, OpenAI's {"messages"}, ShareGPT's {"conversations"}, or
    Alpaca's fields."""
    if isinstance(value, str):
        return {"text": value} if value.strip() else None
    if not isinstance(value, dict):
        return None
    for name in ("text", "content"):
        if isinstance(text := value.get(name), str) and text.strip():
            return {"text": text}
    turns = value.get("messages") or value.get("conversations")
    if isinstance(turns, list):
        messages = [_message(turn) for turn in turns if isinstance(turn, dict)]
        return {"messages": messages} if messages and all(messages) and len(messages) == len(turns) else None
    if isinstance(value.get("instruction"), str) and isinstance(value.get("output"), str):
        question = "\n".join(filter(None, [value["instruction"], str(value.get("input") or "")]))
        return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": value["output"]}]}
    return None


def _why(value: Any) -> str:
    if not isinstance(value, dict):
        return "it has no text and no messages"
    if any(name in value for name in _COLUMNS):
        return "its text or its messages are empty or not of a known form"
    return f"it has none of the columns {', '.join(_COLUMNS)}; its columns are: {_listed(list(value))}"


def _listed(names: list[Any]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return (", ".join(str(name)[:40] for name in names[:12]) or "none") + more


def _message(turn: dict[str, Any]) -> dict[str, str]:
    role = _ROLES.get(str(turn.get("role") or turn.get("from")), "")
    content = turn.get("content", turn.get("value"))
    return {"role": role, "content": content} if role and isinstance(content, str) else {}
