"""How long a model stays loaded without use: a number of seconds, a text such as "5m", or "never"."""

from __future__ import annotations

import re

from modules.protocol.errors import SettingError

# Seconds without use, for models that API requests loaded beside the page's.
DEFAULT_KEEP_ALIVE = 300.0
_NEVER = ("never", "forever")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# A hundred years. A larger number is a mistake, and some clocks cannot wait so long.
_MOST_SECONDS = 3.2e9
_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h|d)")


def parse_keep_alive(value: object) -> float | None:
    """Return seconds, 0 for at once, None for never (a negative number, or "never"). Raises SettingError."""
    if isinstance(value, str):
        return _parse_text(value.strip().lower())
    # Compared as it is: an integer may be too large for a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= _MOST_SECONDS:
        raise _error(value)
    return None if value < 0 else float(value)


def _parse_text(text: str) -> float | None:
    if text in _NEVER or text.startswith("-"):
        return None
    try:
        return parse_keep_alive(float(text))
    except ValueError:
        pass
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise _error(text)
    return parse_keep_alive(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def _error(value: object) -> SettingError:
    return SettingError(
        f"A model cannot be kept for {str(value)[:100]!r}. Write seconds, such as 300, or a time, such as 5m; 0 "
        "unloads it at once, and never keeps it."
    )
