"""Find what leads to code in a folder's JSON files, at every depth of folders and values. Nothing is run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modules.library.json_files import MAX_JSON, as_object, as_text, parse_json_value
from modules.library.known_architectures import NATIVE_TYPES
from modules.protocol.errors import ModelError

# Words in a file that can lead to code. Letters may be written as \u0061. Files without them, such as a vocabulary, are
# searched but not parsed.
_WORTH_READING = (b"trust_remote_code", b"auto_map", b"name_or_path", b"backbone")
_ESCAPED = re.compile(rb"\\u00(?:5[fF]|6[1-9a-fA-F]|7[0-9aA])")
_CODE = (".py", ".pyc", ".pyx", ".so", ".pyd", ".dll", ".dylib")
_MOST_FILES = 20_000
_LONGEST_NAME = 4096


@dataclass
class ModelCode:
    """What leads to code. Names of files are relative to the model's folder, with forward slashes.

    `asked`: modules that a load would run, since Transformers has no code for the model's architecture.
    `spare`: modules that are named but not needed.
    `elsewhere`: those of both that are in another repository, as (repository, file).
    `flags`: files that set trust_remote_code.
    `paths`: sentences about nested names that lead to a folder with code.
    `python`: code files at any depth.
    `unread`: JSON files that mention such things but cannot be read.
    """

    asked: list[str] = field(default_factory=list)
    spare: list[str] = field(default_factory=list)
    elsewhere: list[tuple[str, str]] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    python: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def find_code(folder: Path) -> ModelCode:
    """Search the folder `folder`. Raises ModelError if it has too many files, and OSError."""
    found = ModelCode()
    names = list(files_below(folder))
    found.python = [name for name in names if name.lower().endswith(_CODE)]
    values = {}
    for name in names:
        if name.lower().endswith(".json"):
            try:
                values[name] = _read(folder / name)
            except ModelError:
                found.unread.append(name)
    outer = as_text(as_object(values.get("config.json")).get("model_type"))
    for name, value in values.items():
        for item, depth in _objects(value):
            if item.get("trust_remote_code") not in (None, False, 0, ""):
                found.flags.append(name)
            # What an inner folder says matters only if something leads there, which is noted in `paths`.
            if "/" not in name:
                _note_modules(item, as_text(item.get("model_type")) or outer, found)
            found.paths += _leading_to_code(folder, name, item, top=not depth)
    found.flags = sorted(set(found.flags))
    found.asked, found.spare = sorted(set(found.asked)), sorted(set(found.spare) - set(found.asked))
    found.elsewhere, found.paths = sorted(set(found.elsewhere)), sorted(set(found.paths))
    return found


def files_below(folder: Path) -> Iterator[str]:
    """Yield all files at any depth, also hidden ones, sorted within each folder.

    Links to folders are not followed. Raises ModelError if there are too many.
    """
    count = 0
    for place, below, files in os.walk(folder):
        below.sort()
        for name in sorted(files):
            count += 1
            if count > _MOST_FILES:
                raise ModelError(
                    f"{folder.name} holds more than {_MOST_FILES:,} files, which no model has. Move the model's "
                    "files into a separate folder."
                )
            yield (Path(place) / name).relative_to(folder).as_posix()


def _read(path: Path) -> object:
    """Return the value in a JSON file, None if it cannot lead to code. Raises ModelError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_JSON + 1)
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error.strerror}).") from None
    escaped = b"\\u00" in raw and _ESCAPED.search(raw)
    if not escaped and not any(word in raw for word in _WORTH_READING):
        return None
    if len(raw) > MAX_JSON:
        raise ModelError(f"{path.name} is larger than {MAX_JSON >> 20} MB.")
    return parse_json_value(raw, path.name)


def _objects(value: object) -> Iterator[tuple[Mapping[str, object], int]]:
    """Yield every object in a JSON value, with its depth of nesting."""
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, dict):
            yield item, depth
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        waiting += [(part, depth + 1) for part in inner if isinstance(part, (dict, list))]


def _note_modules(item: Mapping[str, object], model_type: str, found: ModelCode) -> None:
    native = model_type in NATIVE_TYPES
    for value in as_object(item.get("auto_map")).values():
        for entry in value if isinstance(value, list) else [value]:
            if not (name := as_text(entry, _LONGEST_NAME)):
                continue
            module = f"{name.rpartition('.')[0] or name}.py"
            (found.spare if native else found.asked).append(module)
            repository, mark, file = module.rpartition("--")
            if mark:
                found.elsewhere.append((repository, file))


def _leading_to_code(folder: Path, file: str, item: Mapping[str, object], top: bool) -> Iterator[str]:
    for key, value in item.items():
        if top and "name_or_path" in key:  # Where the model was once saved. Transformers writes it, but never reads it.
            continue
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME or "\0" in value:
            continue
        # A word such as "main" may be the name of a folder by chance. Only keys for names refer to folders.
        if not (_is_name(key) or os.sep in value or "/" in value):
            continue
        for target in (folder / value, folder / Path(file).parent / value):
            if code := _code_at(target):
                yield f"{file}: {key} names {value}, which holds code ({code})"
                break


def _is_name(key: str) -> bool:
    return "name_or_path" in key or key in ("backbone", "path", "model", "model_id", "repo_id", "checkpoint")


def _code_at(path: Path) -> str:
    """Return the first code file in the folder at `path`, or beside the file there; "" if there is none."""
    try:
        place = path if path.is_dir() else path.parent if path.is_file() else None
        if place is None:
            return ""
        return next((name for name in files_below(place) if name.lower().endswith(_CODE)), "")
    except OSError:
        return ""
    except ModelError:
        return "among very many files"
