"""Rows of text in files: plain text, JSON, JSON Lines and Parquet, JSON also compressed with gzip.

A row is {"text": str}, or {"messages": [{"role", "content"}, …]}, which the model's own template turns into text.
"""

from __future__ import annotations

import codecs
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
# Columns that are a question and its answer, and those that may stand beside them.
_PAIRS = (("instruction", "output"), ("prompt", "completion"))
_BESIDE = ("input", "system")
_KNOWN = ", ".join([*_COLUMNS, *(" and ".join(pair) for pair in _PAIRS)])
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def file_rows(file: Path, broken: list[str]) -> Iterator[Row]:
    """Yield the rows of one file; add "file, place: why" to `broken` for each row that is none. Raises JobError."""
    for place, value in file_values(file, broken, LARGEST):
        yield from _valid(value, place, broken)


def file_values(file: Path, broken: list[str], largest: int) -> Iterator[tuple[str, object]]:
    """Yield (place, value) of each row of one file, as JSON has it; plain text is one row {"text"}.

    Add "place: why" to `broken` for what cannot be read. `largest`: bytes of text that are read. Raises JobError.
    """
    try:
        yield from _values(file, broken, largest)
    except (OSError, EOFError, zlib.error) as error:
        raise JobError(
            f"{file.name} cannot be read ({error}). It may be damaged. Copy or download it again."
        ) from error


def _values(file: Path, broken: list[str], largest: int) -> Iterator[tuple[str, object]]:
    name = file.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        yield from _parquet_values(file)
        return
    raw = _read_bytes(file, largest).removeprefix(codecs.BOM_UTF8)
    if name.endswith(".jsonl"):
        yield from _line_values(file.name, raw.split(b"\n"), broken)
    elif name.endswith(".json"):
        yield from _json_values(file.name, raw, broken)
    elif raw.strip():
        try:
            yield file.name, {"text": raw.decode("utf-8")}
        except UnicodeDecodeError as error:
            broken.append(f"{file.name}: {error}. Save it as UTF-8")


def _read_bytes(file: Path, largest: int) -> bytes:
    compressed = file.name.lower().endswith(".gz")
    with gzip.open(file) if compressed else file.open("rb") as stream:
        raw = stream.read(largest + 1)
    if len(raw) > largest:
        raise JobError(f"{file.name} holds more than {largest >> 20} MB of text. Choose a part of it.")
    if b"\0" in raw[:4096]:
        raise JobError(f"{file.name} is not a text file. Choose a {ENDINGS_TEXT} file.")
    return raw


def first_lines(file: Path, count: int, broken: list[str]) -> Iterator[Row]:
    """Yield the rows of the first `count` lines of a compressed JSON Lines file, which may be of any size."""
    try:
        with gzip.open(file) as stream:
            lines = [stream.readline(LARGEST) for _ in range(count)]
    except (OSError, EOFError, zlib.error) as error:
        raise JobError(f"{file.name} is damaged ({error}). Delete {file}, then start the job again.") from error
    for place, value in _line_values(file.name, lines, broken):
        yield from _valid(value, place, broken)


def _line_values(name: str, lines: Iterable[bytes], broken: list[str]) -> Iterator[tuple[str, object]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield f"{name} line {number}", json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:  # no JSON, or no UTF-8
            broken.append(f"{name} line {number}: {error}")


def _json_values(name: str, raw: bytes, broken: list[str]) -> Iterator[tuple[str, object]]:
    """Yield the entries of a list, of an object's list "data", one object, or one object a line, as data sets often
    have it in .json files."""
    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        lines = raw.split(b"\n")
        if not raw.lstrip().startswith(b"{") or sum(line.strip().startswith(b"{") for line in lines) < 2:
            broken.append(f"{name}: {error}")
            return
        yield from _line_values(name, lines, broken)
        return
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    for number, entry in enumerate(value if isinstance(value, list) else [value], 1):
        yield f"{name} entry {number}", entry


def _parquet_values(file: Path) -> Iterator[tuple[str, Any]]:
    # Only who reads such a file waits for this import.
    from arro3.core import RecordBatch
    from arro3.io import read_parquet

    with _parquet_errors(file):
        reader = read_parquet(file)
        there = list(reader.schema.names)
    pairs = [name for pair in _PAIRS if set(pair) <= set(there) for name in pair]
    wanted = [name for name in (*_COLUMNS, *pairs, *_BESIDE) if name in there]
    if not set(wanted) - set(_BESIDE):
        raise JobError(
            f"{file.name} has none of the columns {_KNOWN}. Its columns are: {_listed(there)}. Rename the one that "
            "holds the text to text."
        )
    number = 0
    while True:
        with _parquet_errors(file):
            if (batch := next(reader, None)) is None:
                return
            columns = [column.to_pylist() for column in RecordBatch.from_arrow(batch).select(wanted).columns]
        for values in zip(*columns, strict=True):
            number += 1
            yield f"{file.name} row {number}", dict(zip(wanted, values, strict=True))


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


def _valid(value: object, place: str, broken: list[str]) -> Iterator[Row]:
    if row := to_row(value):
        yield row
    else:
        broken.append(f"{place}: {_why(value)}")


def to_row(value: object) -> Row | None:
    """Return a row from a text, {"text"} or {"content"}, OpenAI's {"messages"}, ShareGPT's {"conversations"}, Alpaca's
    fields, or {"prompt", "completion"}."""
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
    for question, answer in _PAIRS:
        if isinstance(asked := value.get(question), str) and isinstance(answered := value.get(answer), str):
            whole = "\n".join(filter(None, [asked, str(value.get("input") or "")]))
            return {"messages": [{"role": "user", "content": whole}, {"role": "assistant", "content": answered}]}
    return None


def _why(value: object) -> str:
    if not isinstance(value, dict):
        return "it has no text and no messages"
    if any(name in value for name in _COLUMNS):
        return "its text or its messages are empty or not of a known form"
    return f"it has none of the columns {_KNOWN}; its columns are: {_listed(list(value))}"


def _listed(names: list[Any]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return (", ".join(str(name)[:40] for name in names[:12]) or "none") + more


def _message(turn: dict[str, object]) -> dict[str, str]:
    role = _ROLES.get(str(turn.get("role") or turn.get("from")), "")
    content = next((turn[key] for key in ("content", "value") if turn.get(key) is not None), None)
    return {"role": role, "content": content} if role and isinstance(content, str) else {}
