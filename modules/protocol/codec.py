"""Encode messages as lines and decode them: JSON, one message per line, with the class in "type"."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Hashable
from functools import cache, lru_cache
from typing import Any

from modules.protocol.commands import Command
from modules.protocol.errors import ProtocolError
from modules.protocol.events import Event


@cache
def _fields(kind: Any) -> dict[str, type | None]:
    """Return, by field name, the dataclass nested in the field, or None."""
    hints = typing.get_type_hints(kind)
    return {
        field.name: hints[field.name] if dataclasses.is_dataclass(hints[field.name]) else None
        for field in dataclasses.fields(kind)
    }


@lru_cache(maxsize=2)
def message_types(union: object) -> dict[str, type]:
    """Return the classes of a message union by name."""
    return {kind.__name__: kind for kind in typing.get_args(union)}


def _plain(message: object) -> dict[str, Any]:
    return {
        name: _plain(getattr(message, name)) if nested else getattr(message, name)
        for name, nested in _fields(typing.cast(Hashable, type(message))).items()
    }


def encode(message: Command | Event) -> str:
    """Return the message as a line without its line break. Lone surrogates, which JSON readers reject, are replaced."""
    line = json.dumps({"type": type(message).__name__, **_plain(message)}, ensure_ascii=False)
    return line.encode("utf-8", "replace").decode("utf-8")


def _restore(kind: Any, values: dict[str, Any]) -> Any:
    nested = _fields(kind)
    return kind(
        **{name: _restore(nested[name], value) if nested.get(name) else value for name, value in values.items()}
    )


def _decode(union: object, line: str | bytes) -> Any:
    try:
        values = json.loads(line)
        kind = message_types(union)[values.pop("type")]
        return _restore(kind, values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ProtocolError(f"Not a message: {line[:200]!r} ({error}).") from None


def decode_command(line: str | bytes) -> Command:
    """Return the command on this line. Raises ProtocolError."""
    return typing.cast(Command, _decode(Command, line))


def decode_event(line: str | bytes) -> Event:
    """Return the event on this line. Raises ProtocolError."""
    return typing.cast(Event, _decode(Event, line))
