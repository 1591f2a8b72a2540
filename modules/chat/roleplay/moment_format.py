"""Write a time in the format of Moment.js, which SillyTavern's macro {{datetimeformat}} takes, in English."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_LONG = {
    "LTS": "h:mm:ss A",
    "LT": "h:mm A",
    "LLLL": "dddd, MMMM D, YYYY h:mm A",
    "LLL": "MMMM D, YYYY h:mm A",
    "LL": "MMMM D, YYYY",
    "L": "MM/DD/YYYY",
}
_LONG_MARK = re.compile(r"\[[^\]]*\]|LTS|LT|LLLL|LLL|LL|L")
_MARK = re.compile(r"\[([^\]]*)\]|YYYY|YY|MMMM|MMM|MM|M|Do|DDDD|DDD|DD|D|dddd|ddd|dd|d|HH|H|hh|h|mm|m|ss|s|A|a|ZZ|Z|X")


def moment_text(form: str, now: datetime) -> str:
    """Return `now` in this format, such as "DD.MM.YYYY HH:mm". Text in square brackets stays."""
    form = _LONG_MARK.sub(lambda found: _LONG.get(found[0], found[0]), form[:200])
    return _MARK.sub(lambda found: found[1] if found[1] is not None else _PARTS[found[0]](now), form)


def _ordinal(day: int) -> str:
    ending = "th" if 11 <= day % 100 <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _offset(now: datetime, colon: str) -> str:
    text = now.strftime("%z") or "+0000"
    return f"{text[:3]}{colon}{text[3:5]}"


_PARTS: dict[str, Callable[[datetime], str]] = {
    "YYYY": lambda now: f"{now.year:04}",
    "YY": lambda now: f"{now.year % 100:02}",
    "MMMM": lambda now: _MONTHS[now.month - 1],
    "MMM": lambda now: _MONTHS[now.month - 1][:3],
    "MM": lambda now: f"{now.month:02}",
    "M": lambda now: str(now.month),
    "Do": lambda now: _ordinal(now.day),
    "DDDD": lambda now: f"{now.timetuple().tm_yday:03}",
    "DDD": lambda now: str(now.timetuple().tm_yday),
    "DD": lambda now: f"{now.day:02}",
    "D": lambda now: str(now.day),
    "dddd": lambda now: _DAYS[now.weekday()],
    "ddd": lambda now: _DAYS[now.weekday()][:3],
    "dd": lambda now: _DAYS[now.weekday()][:2],
    "d": lambda now: str((now.weekday() + 1) % 7),
    "HH": lambda now: f"{now.hour:02}",
    "H": lambda now: str(now.hour),
    "hh": lambda now: f"{(now.hour + 11) % 12 + 1:02}",
    "h": lambda now: str((now.hour + 11) % 12 + 1),
    "mm": lambda now: f"{now.minute:02}",
    "m": lambda now: str(now.minute),
    "ss": lambda now: f"{now.second:02}",
    "s": lambda now: str(now.second),
    "A": lambda now: "AM" if now.hour < 12 else "PM",
    "a": lambda now: "am" if now.hour < 12 else "pm",
    "ZZ": lambda now: _offset(now, ""),
    "Z": lambda now: _offset(now, ":"),
    "X": lambda now: str(int(now.timestamp())),
}
