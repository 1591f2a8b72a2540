"""Reads untrusted YAML and JSON within limits, and writes YAML that reads back unchanged.

Characters, presets, settings, manifests, address files and the JSON of models are read here. Time and memory are
bounded for any content, and every fault raises DataFileError.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modules.files.yaml_tree import LimitExceeded, build_tree
from modules.protocol.errors import PaddockError


@dataclass(frozen=True)
class Limits:
    """Limits of a file. `size`: bytes. `nodes`: values; those behind an alias count each time. `depth`: nesting."""

    size: int = 1 << 20
    nodes: int = 100_000
    depth: int = 64


LIMITS = Limits()
# Paddock's own files grow with the user's data.
STORE_LIMITS = Limits(size=8 << 20, nodes=400_000)

_LONGEST_NUMBER = 300
_TAB_HINT = "; indent with spaces, not with tabs"
_SURROGATES = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# Match an unterminated text up to the end of the file. Otherwise the pattern would be tried again from each quote.
_JSON_TEXT = re.compile(r'"(?:[^"\\]+|\\.)*\\?(?:"|\Z)', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)((?:\\u[dD][89a-fA-F][0-9a-fA-F]{2})+)")


class DataFileError(PaddockError):
    """A file that cannot be read as data.

    `why`: the cause, to follow a colon. `message`: a sentence with the file's name and a next step.
    """

    code = "file"

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} cannot be read: {why}. Correct the file, or remove it.")
        self.name = name
        self.why = why


def read_bytes(path: Path, limits: Limits = LIMITS) -> bytes:
    """Return the content of a regular file, also through a link. Raise DataFileError or FileNotFoundError.

    A pipe or a device is refused without waiting for it.
    """
    try:
        # Opening a pipe without a writer would wait for one.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DataFileError(path.name, "it is not a regular file")
            raw = file.read(limits.size + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataFileError(path.name, f"the system says {error.strerror or error}") from error
    except ValueError as error:  # a name that no system call takes
        raise DataFileError(path.name, str(error)) from error
    if len(raw) > limits.size:
        raise DataFileError(path.name, f"it is larger than {_size(limits.size)}")
    return raw


def read_yaml(path: Path, *, as_text: bool = False, limits: Limits = LIMITS) -> object:
    """Return the value in a YAML file. `as_text`: numbers, yes and dates stay texts; an empty value is still None.

    Raises DataFileError or FileNotFoundError.
    """
    return parse_yaml(read_bytes(path, limits), path.name, as_text=as_text, limits=limits)


def read_json(path: Path, *, as_text: bool = False, limits: Limits = LIMITS) -> Any:
    """Return the value in a JSON file, like `read_yaml`. Raise DataFileError or FileNotFoundError."""
    return parse_json(read_bytes(path, limits), path.name, as_text=as_text, limits=limits)


def parse_yaml(raw: bytes | str, name: str, *, as_text: bool = False, limits: Limits = LIMITS) -> Any:
    """Return the value in `raw`; keys are texts. Aliases count fully, merge keys are refused. Raise DataFileError."""
    text = _text(raw, name, limits)

    def build(text: str) -> object:
        return build_tree(text, as_text=as_text, nodes=limits.nodes, depth=limits.depth, characters=4 * limits.size)

    try:
        try:
            return build(text)
        except yaml.YAMLError:
            # JSON and old YAML files write characters beyond U+FFFF as two surrogates, which libyaml rejects.
            whole = _SURROGATE_ESCAPE.sub(_join_escapes, text)
            if whole == text:
                raise
            return build(whole)
    except LimitExceeded as error:
        raise DataFileError(name, str(error)) from None
    except yaml.reader.ReaderError as error:
        what = f"U+{error.character:04X}" if isinstance(error.character, int) else "a byte that is not text"
        raise DataFileError(name, f"it holds {what}, which YAML does not allow") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark is not None else ""
        hint = _TAB_HINT if mark is not None and _begins_with_tab(text, mark.line) else ""
        raise DataFileError(name, f"{where}it is not YAML ({error.problem or error.context}){hint}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise DataFileError(name, f"it is not YAML ({' '.join(str(error).split())[:200]})") from None


def parse_json(
    raw: bytes | str,
    name: str,
    *,
    as_text: bool = False,
    limits: Limits = LIMITS,
    whole: Callable[[str], object] | None = None,
) -> object:
    """Return the value in `raw`. Line breaks and tabs in texts are allowed. Raise DataFileError.

    `whole`: converts integers. Without it, extremely long integers stay texts.
    """
    text = _text(raw, name, limits)
    _refuse_size(text, name, limits)
    numbers: dict[str, Any] = {"parse_int": whole or _whole}
    if as_text:
        numbers = dict.fromkeys(("parse_int", "parse_float", "parse_constant"), str)
    try:
        value = json.loads(text, strict=False, **numbers)
    except json.JSONDecodeError as error:
        raise DataFileError(name, f"line {error.lineno}: it is not JSON ({error.msg})") from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise DataFileError(name, f"it is not JSON ({error})") from None
    return fix_surrogates(value) if _ESCAPED_SURROGATE.search(text) else value


def to_yaml(values: object) -> str:
    """Return `values` as YAML that `parse_yaml` reads back. Lone surrogates, which no reader accepts, are replaced."""
    return str(yaml.dump(fix_surrogates(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def fix_surrogates(value: object) -> Any:
    """Return `value` with surrogate pairs in its texts joined and lone surrogates replaced: they cannot be encoded."""
    if isinstance(value, str):
        if not _SURROGATES.search(value):
            return value
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {fix_surrogates(key): fix_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([fix_surrogates(item) for item in value]) if type(value) in (list, tuple) else value
    return value


class _Dumper(yaml.SafeDumper):
    """Writes an object that occurs twice in full both times, without anchor and alias."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(raw: bytes | str, name: str, limits: Limits) -> str:
    if len(raw) > limits.size:
        raise DataFileError(name, f"it is larger than {_size(limits.size)}")
    if isinstance(raw, str):
        return raw.removeprefix("\ufeff")
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        raise DataFileError(name, "it is not text in UTF-8; save it as UTF-8") from None
    if "\0" in text:
        raise DataFileError(name, "it is not a text file")
    return text


def _refuse_size(text: str, name: str, limits: Limits) -> None:
    """Raise DataFileError for JSON with too many values or too much nesting, before it is parsed."""
    if text.count(",") + text.count(":") <= limits.nodes and text.count("[") + text.count("{") <= limits.depth:
        return
    plain = _JSON_TEXT.sub("", text)
    if plain.count(",") > limits.nodes:
        raise DataFileError(name, f"it holds more than {limits.nodes:,} values")
    depth = 0
    for mark in re.finditer(r"[\[\]{}]", plain):
        depth += 1 if mark.group() in "[{" else -1
        if depth > limits.depth:
            raise DataFileError(name, f"it is nested more than {limits.depth} levels deep")


def _join_escapes(found: re.Match[str]) -> str:
    whole = fix_surrogates(found[2].encode().decode("unicode-escape"))
    return found[1] + "".join(f"\\U{ord(letter):08X}" for letter in whole)


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else digits


def _begins_with_tab(text: str, line: int) -> bool:
    lines = text.splitlines()
    return line < len(lines) and "\t" in lines[line][: len(lines[line]) - len(lines[line].lstrip())]


def _size(count: int) -> str:
    return f"{count >> 20} MB" if count >= 1 << 20 else f"{count >> 10} KB"
