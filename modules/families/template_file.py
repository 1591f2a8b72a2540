"""Finds the chat template in a model's folder, for detection and engines. Standard library only.

https://huggingface.co/docs/transformers/chat_templating; each place is that of some version of Transformers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_LARGEST = 8 << 20
_INNER = "additional_chat_templates"


@dataclass(frozen=True)
class TemplateFile:
    """A chat template and the name of its file. Both are "" if there is none."""

    text: str = ""
    source: str = ""


def find_template(folder: Path) -> TemplateFile:
    """Return the chat template of the model in `folder`. Of several in a file, return "default", else the first.

    Files that cannot be read are skipped.
    """
    for text, source in _places(folder):
        if text.strip():
            return TemplateFile(text, source)
    return TemplateFile()


def _places(folder: Path) -> Iterator[tuple[str, str]]:
    yield _read(folder / "chat_template.jinja"), "chat_template.jinja"
    yield _chosen(_object(folder / "tokenizer_config.json").get("chat_template")), "tokenizer_config.json"
    yield _chosen(_json(folder / "chat_template.json")), "chat_template.json"
    for name in ("processor_config.json", "preprocessor_config.json"):
        yield _chosen(_object(folder / name).get("chat_template")), name
    try:
        inner = sorted((folder / _INNER).glob("*.jinja"), key=lambda path: (path.stem != "default", path.name))
    except OSError:
        return
    for path in inner:
        yield _read(path), f"{_INNER}/{path.name}"


def _chosen(value: object) -> str:
    """Return the template in a value: a text, an object with chat_template, an object of name -> text, or a list of
    {"name", "template"}."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        entries = [entry for entry in value if isinstance(entry, Mapping)]
        value = {str(entry.get("name")): entry.get("template") for entry in entries}
    if not isinstance(value, Mapping):
        return ""
    if "chat_template" in value:
        return _chosen(value["chat_template"])
    texts = {name: text for name, text in value.items() if isinstance(text, str) and text.strip()}
    return texts.get("default") or next(iter(texts.values()), "")


def _object(path: Path) -> Mapping[str, object]:
    value = _json(path)
    return value if isinstance(value, Mapping) else {}


def _json(path: Path) -> object:
    try:
        return json.loads(_read(path) or "null")
    except (ValueError, RecursionError):
        return None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError:
        return ""
    return raw.decode("utf-8-sig", "replace") if len(raw) <= _LARGEST else ""
