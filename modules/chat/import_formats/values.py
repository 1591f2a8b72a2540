"""What all readers of foreign chats need: texts and moments of any type, and parts of messages."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from modules.chat.parts import REASONING, TOOL_CALL, TOOL_RESULT, Part

# Seconds since the epoch below which a number is a moment in seconds: the year 5138.
_MOST_SECONDS = 1e11
# Dates that programs write besides ISO's format.
_FORMATS = (
    "%b %d, %Y %H:%M",
    "%B %d, %Y %I:%M%p",
    "%Y-%m-%d@%Hh%Mm%Ss",
    "%Y-%m-%d @%Hh %Mm %Ss",
    "%Y-%m-%d %H:%M:%S",
)
_DATA_ADDRESS = re.compile(r"data:[\w.+-]{1,40}/[\w.+-]{1,80}(?:;[\w=.-]{1,80}){0,5};base64,")
_LONGEST_DATE = 60


def moment(value: object) -> float | None:
    """Return the seconds since the epoch that a date means: a number of seconds to nanoseconds, or a text.

    Return None for anything else, and for a moment before 1970.
    """
    if isinstance(value, str):
        return _moment_of(value.strip()) if len(value) <= _LONGEST_DATE else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    if not math.isfinite(number) or number < 0:
        return None
    for _ in range(3):
        if number >= _MOST_SECONDS:
            number /= 1000
    return number if number < _MOST_SECONDS else None


def _moment_of(text: str) -> float | None:
    try:
        return moment(float(text))
    except ValueError:
        pass
    # SillyTavern adds milliseconds to the oldest and the newest of its formats.
    short = re.sub(r"s ?\d+ms$", "s", text)
    short = re.sub(r"(?<=\d)\s+(?=[ap]m$)", "", short, flags=re.IGNORECASE)
    for form in ("", *_FORMATS):
        try:
            date = datetime.strptime(short, form) if form else datetime.fromisoformat(re.sub("Z$", "+00:00", short))
            return moment(date.timestamp())
        except (ValueError, OverflowError, OSError):
            continue
    return None


def text_of(value: object) -> str:
    """Return a text, also of a number where a text belongs; "" for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def joined_texts(values: object) -> str:
    """Return a message's content as one text. It may be a text, or a list of texts and of objects with a text."""
    if not isinstance(values, list):
        return text_of(values)
    texts = (text_of(one.get("text") if isinstance(one, Mapping) else one) for one in values)
    return "\n\n".join(text for text in texts if text.strip())


def object_of(value: object) -> Mapping[str, object]:
    """Return an object of JSON, and an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def mappings(values: object) -> list[Mapping[str, object]]:
    """Return the objects of a list, and an empty list for anything else."""
    return [one for one in values if isinstance(one, Mapping)] if isinstance(values, list) else []


def reasoning(text: str, seconds: object = None) -> Part:
    """Return a part of reasoning that has ended. `seconds`: how long it took, where that is a number."""
    took = {}
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 < seconds < _MOST_SECONDS:
        took = {"seconds": float(seconds), "tokens": 0}
    return Part(REASONING, text.strip(), {"before": "<think>\n", "after": "\n</think>\n\n", **took})


def tool_call(id: str, name: str, arguments: object) -> Part:
    """Return a call of a tool. `arguments`: an object, JSON of one, or the text that it got."""
    values = arguments
    if isinstance(arguments, str):
        try:
            values = json.loads(arguments)
        except (ValueError, RecursionError):
            values = arguments
        if isinstance(values, str) and values != arguments:
            return tool_call(id, name, values)
    if not isinstance(values, Mapping):
        values = {"input": arguments} if arguments not in ("", None) else {}
    return Part(TOOL_CALL, json.dumps(values, ensure_ascii=False), {"id": id, "name": name.strip() or "tool"})


def tool_result(call: Part, text: str) -> Part:
    """Return what a call of a tool returned."""
    return Part(TOOL_RESULT, text, {"id": call.meta["id"], "name": call.meta["name"], "state": "ok"})


def named_files(names: Iterable[str]) -> str:
    """Return the names of files that the export does not contain, as text of a message."""
    return "\n".join(f"[{' '.join(name.split())}]" for name in names if name.strip())


def data_of(address: object) -> bytes | None:
    """Return the content of a `data:` address in base64, or None for anything else."""
    found = _DATA_ADDRESS.match(address) if isinstance(address, str) else None
    if not found:
        return None
    try:
        return base64.b64decode(found.string[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        return None
