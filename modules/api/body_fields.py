"""Read fields of a JSON body, each checked, with a sentence for what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

from modules.protocol.errors import SettingError

# No vocabulary is larger. A larger id would not fit into the integers of some engines.
_MOST_TOKEN = 2**31
# What a reply can have is checked with the other parameters. This is above it.
MOST_LENGTH = 2**31


def text_field(body: Mapping[str, object], name: str, default: str | None = None) -> str:
    """Return a text. Raises SettingError if it is missing (and has no default) or is no text."""
    value = body.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise SettingError(f"{name!r} must be a text. Send it as a JSON string.")
    return value


def whole_field(body: Mapping[str, object], name: str, default: int, least: int, most: int) -> int:
    """Return a whole number from `least` to `most`. Raises SettingError."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SettingError(f"{name!r} must be a whole number from {least} to {most}.")
    return value


def flag_field(body: Mapping[str, object], name: str, default: bool = False) -> bool:
    """Return true or false. Raises SettingError."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise SettingError(f"{name!r} must be true or false, without quotes.")
    return value


def object_field(body: Mapping[str, object], name: str) -> dict[str, object]:
    """Return a JSON object; {} if it is missing. Raises SettingError."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingError(f"{name!r} must be a JSON object.")
    return value


def names_field(body: Mapping[str, object], name: str) -> list[str]:
    """Return a list of texts. Raises SettingError."""
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise SettingError(f"{name!r} must be a list of texts.")
    return value


def check_kinds(body: Mapping[str, object], kinds: Mapping[str, type]) -> None:
    """Raise SettingError for a field that changes nothing here and is of another kind than its API says: str, dict,
    list, bool or int, which means 1 or more."""
    for name, kind in kinds.items():
        value = body.get(name)
        if kind is str:
            text_field(body, name, "")
        elif kind is dict:
            object_field(body, name)
        elif kind is bool:
            flag_field(body, name)
        elif kind is int:
            whole_field(body, name, 1, 1, 2**31)
        elif value is not None and not isinstance(value, kind):
            raise SettingError(f"{name!r} must be a list.")


def is_token_ids(value: object) -> TypeGuard[list[int]]:
    """Return True for a list of token ids with at least one id."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(id, int) and not isinstance(id, bool) and 0 <= id < _MOST_TOKEN for id in value)
    )
