"""Builds lists, mappings and scalars from a YAML text within limits.

PyYAML's own constructors follow aliases without a limit, recurse for each level, and turn texts such as 1:1 or an
impossible date into numbers and errors. Here an alias counts as much as its value, and depth is limited.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

_CORE = "tag:yaml.org,2002:"
_TAGS = {f"{_CORE}{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")}
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
_TEXT_NOTHING = frozenset({"", "~", "null"})
_TRUE = frozenset(word for plain in ("yes", "true", "on") for word in (plain, plain.capitalize(), plain.upper()))
_FALSE = frozenset(word for plain in ("no", "false", "off") for word in (plain, plain.capitalize(), plain.upper()))
# What PyYAML reads as numbers, except sexagesimal ones. Extremely long numbers stay texts.
_WHOLE = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)")
_FLOAT = re.compile(r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?")
_NO_NUMBER = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MAX_NUMBER_LENGTH = 300
_MAX_DIRECTIVES = 16


class LimitExceeded(ValueError):
    """The text exceeds a limit, or contains something that is not allowed. The message follows a colon."""


def build_tree(text: str, *, as_text: bool, nodes: int, depth: int, characters: int) -> object:
    """Return the value in `text`, None if it is empty. Raise LimitExceeded or yaml.YAMLError."""
    # The parser compares each %TAG line with all earlier ones.
    if text.count("\n%TAG") > _MAX_DIRECTIVES:
        raise LimitExceeded(f"it has more than {_MAX_DIRECTIVES} directives (%TAG)")
    return _Tree(as_text, nodes, depth, characters).build(text)


class _Open:
    """A list or mapping that is being filled. `cost`: values and characters counted before it."""

    def __init__(self, value: list[object] | dict[str, object], anchor: str | None, cost: tuple[int, int]) -> None:
        self.value = value
        self.anchor = anchor
        self.cost = cost
        self.key: str | None = None


class _Tree:
    def __init__(self, as_text: bool, nodes: int, depth: int, characters: int) -> None:
        self._as_text = as_text
        self._max_nodes, self._max_characters, self._depth = nodes, characters, depth
        self._nodes = self._characters = 0
        self._open: list[_Open] = []
        # Anchor -> its value and its cost.
        self._anchors: dict[str, tuple[object, int, int]] = {}
        self._root: object = None

    def build(self, text: str) -> object:
        documents = 0
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise LimitExceeded("it holds more than one document (---)")
            elif isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._begin(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._end()
        return self._root

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._count(1, len(event.value))
        if self._wants_key():
            if event.implicit[0] and event.value == "<<":
                raise LimitExceeded(f"line {_line(event)}: merge keys (<<) are not read; write the lines out")
            self._put(event.value)
            value: object = event.value
        else:
            value = self._value(event)
            self._put(value)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1, len(event.value))

    def _value(self, event: yaml.ScalarEvent) -> object:
        plain, text = event.implicit[0], event.value
        if event.tag not in (None, "!"):
            _check_tag(event)
            plain = event.tag != f"{_CORE}str"
        if not plain:
            return text
        if self._as_text:
            return None if text in _TEXT_NOTHING else text
        return _typed(text)

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = str(event.anchor)
        if name not in self._anchors:
            raise LimitExceeded(f"line {_line(event)}: the alias *{name[:40]} is not defined before it")
        value, nodes, characters = self._anchors[name]
        self._count(nodes, characters)
        if self._wants_key() and not isinstance(value, str):
            raise LimitExceeded(f"line {_line(event)}: a key must be a text")
        self._put(value)

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        if event.tag not in (None, "!"):
            _check_tag(event)
        if self._wants_key():
            raise LimitExceeded(f"line {_line(event)}: a key must be a text")
        if len(self._open) >= self._depth:
            raise LimitExceeded(f"it is nested more than {self._depth} levels deep")
        cost = self._nodes, self._characters
        self._count(1, 0)
        value: list[object] | dict[str, object] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        self._put(value)
        self._open.append(_Open(value, event.anchor, cost))

    def _end(self) -> None:
        done = self._open.pop()
        if done.anchor:
            nodes, characters = done.cost
            self._anchors[done.anchor] = (done.value, self._nodes - nodes, self._characters - characters)

    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is None

    def _put(self, value: object) -> None:
        if not self._open:
            self._root = value
            return
        place = self._open[-1]
        if isinstance(place.value, list):
            place.value.append(value)
        elif place.key is None:
            place.key = str(value)
        else:
            place.value[place.key] = value
            place.key = None

    def _count(self, nodes: int, characters: int) -> None:
        self._nodes += nodes
        self._characters += characters
        if self._nodes > self._max_nodes:
            raise LimitExceeded(f"it holds more than {self._max_nodes:,} values")
        if self._characters > self._max_characters:
            raise LimitExceeded("its aliases expand to too much text")


def _typed(text: str) -> object:
    if text in _NOTHING:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if len(text) > _MAX_NUMBER_LENGTH:
        return text
    if _WHOLE.fullmatch(text):
        digits = text.replace("_", "")
        octal = re.fullmatch(r"[-+]?0[0-7]+", digits)
        try:
            return int(digits, 8 if octal else 0)
        except ValueError:  # such as 0x
            return text
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    if found := _NO_NUMBER.fullmatch(text):
        return float(f"{found[1] or ''}inf") if found[2] else math.nan
    return text


def _check_tag(event: Any) -> None:
    if event.tag not in _TAGS:
        raise LimitExceeded(
            f"line {_line(event)}: the tag {str(event.tag)[:60]!r} is not read; write the value without it"
        )


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
