"""Keys and numbers of lorebook entries, which programs write in several types."""

from __future__ import annotations


def texts(value: object) -> tuple[str, ...]:
    """Return the texts in a list, or those that a text has between commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    items = value if isinstance(value, list) else []
    plain = (item for item in items if isinstance(item, (str, int)) and not isinstance(item, bool))
    return tuple(text for item in plain if (text := str(item)))


def number(value: object, default: float) -> float:
    """Return a number, also one that is written as a text, such as "50" or "50%"."""
    if isinstance(value, str):
        try:
            value = float(value.strip().removesuffix("%"))
        except ValueError:
            return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return default
    return float(min(max(value, -1e9), 1e9))


def exact(value: object, default: float) -> float:
    """Return a number like `number`, a whole one as int: files show it as it was written."""
    found = float(number(value, default))
    return int(found) if found.is_integer() else found
