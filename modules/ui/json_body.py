"""Read the JSON of a request's body, for the API and for the page's own routes."""

from __future__ import annotations

import json

from modules.protocol.errors import SettingError

# No request needs deeper nesting, and the code that reads it later would exhaust the stack.
_DEEPEST = 64
_TOO_DEEP = f"The body is nested more than {_DEEPEST} levels deep. Send a JSON object with fewer levels."


def parse_json_body(raw: bytes) -> object:
    """Return the value of a body. Raises SettingError."""
    try:
        value: object = json.loads(raw, parse_constant=_no_number)
    except ValueError as error:
        raise SettingError(f"The body is not JSON: {error}. Send a JSON object.") from None
    except RecursionError:
        raise SettingError(_TOO_DEEP) from None
    if _deeper_than(_DEEPEST, value):
        raise SettingError(_TOO_DEEP)
    return value


def _no_number(name: str) -> None:
    # Python accepts NaN and Infinity, which JSON does not have and range checks do not catch.
    raise ValueError(f"{name} is not a JSON number")


def _deeper_than(most: int, value: object) -> bool:
    """Return True if `value` is nested more than `most` levels deep."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(most):
        parts = [part.values() if isinstance(part, dict) else part for part in level]
        level = [inner for part in parts for inner in part if isinstance(inner, (dict, list))]
        if not level:
            return False
    return True
