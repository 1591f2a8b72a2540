"""Decorators of lorebook entries: lines such as "@@depth 5" before an entry's text (character cards V3)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_MOST = 10_000
_WHOLE = re.compile(r"-?\d{1,8}")


@dataclass(frozen=True)
class Decorators:
    """What the decorators of an entry say. None, False and () where it has no such decorator.

    `additional_keys`: those of each such decorator; one of each must be found.
    """

    depth: int | None = None
    role: str | None = None
    position: str | None = None
    scan_depth: int | None = None
    activate: bool = False
    dont_activate: bool = False
    activate_only_after: int | None = None
    activate_only_every: int | None = None
    keep_activate_after_match: bool = False
    dont_activate_after_match: bool = False
    is_greeting: int | None = None
    additional_keys: tuple[tuple[str, ...], ...] = ()
    exclude_keys: tuple[str, ...] = ()
    disable_ui_prompt: str | None = None
    ignore_on_max_context: bool = False


def _whole(value: str) -> int | None:
    return min(max(0, int(value)), _MOST) if _WHOLE.fullmatch(value) else None


def _one_of(*allowed: str) -> Callable[[str], str | None]:
    return lambda value: value if value in allowed else None


def _keys(value: str) -> tuple[str, ...] | None:
    return tuple(part.strip() for part in value.split(",") if part.strip()) or None


def _mark(value: str) -> bool:
    return True


_READERS: dict[str, Callable[[str], Any]] = {
    "depth": _whole,
    "role": _one_of("assistant", "system", "user"),
    "position": _one_of("after_desc", "before_desc", "personality", "scenario"),
    "scan_depth": _whole,
    "activate": _mark,
    "dont_activate": _mark,
    "activate_only_after": _whole,
    "activate_only_every": _whole,
    "keep_activate_after_match": _mark,
    "dont_activate_after_match": _mark,
    "is_greeting": _whole,
    "additional_keys": _keys,
    "exclude_keys": _keys,
    "disable_ui_prompt": _one_of("post_history_instructions", "system_prompt"),
    "ignore_on_max_context": _mark,
}


def split_decorators(content: str) -> tuple[Decorators, str]:
    """Return the decorators that a text begins with, and the rest of it.

    A line with "@@@" counts if no line since the last "@@" was known and valid. Of several with one name the first
    counts, but all of those with keys. Unknown ones are dropped too, as the specification asks.
    """
    if not content.lstrip().startswith("@@"):
        return Decorators(), content
    found: dict[str, Any] = {}
    additional: list[tuple[str, ...]] = []
    exclude: list[str] = []
    lines = content.split("\n")
    place, accepted = 0, True
    while place < len(lines) and (not lines[place].strip() or lines[place].strip().startswith("@@")):
        line = lines[place].strip()
        place += 1
        if not line or (line.startswith("@@@") and accepted):
            continue
        name, _, value = line.lstrip("@").partition(" ")
        reader = _READERS.get(name.strip())
        read = reader(value.strip()) if reader else None
        accepted = read is not None
        if read is None:
            continue
        name = name.strip()
        if name == "additional_keys":
            additional.append(read)
        elif name == "exclude_keys":
            exclude += read
        else:
            found.setdefault(name, read)
    found |= {"additional_keys": tuple(additional), "exclude_keys": tuple(exclude)}
    return Decorators(**found), "\n".join(lines[place:])
