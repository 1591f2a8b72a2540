"""Macros in cards, lorebooks, notes and messages: {{user}}, {{date}}, {{random:a,b}}, … Nothing in them runs as code.

The names are those of the specification of character cards V3 and of SillyTavern. An unknown macro stays as it is.
Random values follow from a seed and from the macro's place, so the same text has the same values in every prompt, and
the engine's cached prefix stays valid.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone

from modules.chat.roleplay.moment_format import moment_text

_BRACES = re.compile(r"\{\{(?!\{)|\}\}")
_OLD = re.compile(r"<(USER|BOT|CHAR|GROUP)>", re.IGNORECASE)
_OLD_NAMES = {"user": "user", "bot": "char", "char": "char", "group": "group"}
# Stands for {{trim}} until the white space around it is removed.
_TRIM = "\ue0f2"
_TRIMMED = re.compile(rf"\s*{_TRIM}\s*")
_DICE = re.compile(r"(\d{0,3})d(\d{1,6})([+-]\d{1,6})?|(\d{1,6})", re.IGNORECASE)
_CALL = re.compile(r"([\w-]+)(::|:|\s+)(.*)", re.DOTALL)
_HIDDEN = re.compile(r"\{\{\s*hidden_key:((?:\{\{[^{}]*\}\}|[^{}])*)\}\}", re.IGNORECASE)
_COUNT = re.compile(r"\d{1,6}")
_ZONE = re.compile(r"time_utc([+-]\d{1,2})(?::(\d\d))?", re.IGNORECASE)
# Macros inside of macros, fields inside of fields, and letters that all values of a text may have together.
_DEEPEST = 16
_DEEPEST_FIELD = 3
_MOST = 400_000
_MOST_DICE = 100

# The fields of a card: macros in them count, as SillyTavern has it.
FIELDS = (
    "description",
    "personality",
    "scenario",
    "persona",
    "mesexamples",
    "charprompt",
    "charinstruction",
    "original",
)
_OTHER_NAMES = {
    "bot": "char",
    "mesexamplesraw": "mesexamples",
    "charjailbreak": "charinstruction",
    "charifnotgroup": "char",
    "charversion": "char_version",
    "maxcontext": "maxprompt",
}


class Macros:
    """Replaces macros in texts.

    `values`: macro -> its value; `seed`: what random values follow from; `now`: the time that is written.
    """

    def __init__(self, values: Mapping[str, str], seed: str = "", now: datetime | None = None) -> None:
        self._values = {name.lower(): value for name, value in values.items()}
        self._seed = seed
        self._now = now or datetime.now().astimezone()
        self._variables: dict[str, str] = {}
        self._room = _MOST

    def expand(self, text: str, **more: str) -> str:
        """Return the text with its macros replaced. `more`: further values."""
        if "{{" not in text and "<" not in text:
            return text
        self._room = _MOST
        whole = self._expand(text, {**self._values, **more}, 0)
        return _TRIMMED.sub("", whole) if _TRIM in whole else whole

    def _expand(self, text: str, values: Mapping[str, str], field: int) -> str:
        """Replace macros from left to right, inner ones first. Values are not searched for macros."""
        open_parts: list[list[str]] = [[]]
        starts: list[int] = []
        last = 0
        for mark in _BRACES.finditer(text):
            open_parts[-1].append(_with_names(text[last : mark.start()], values))
            last = mark.end()
            if mark[0] == "{{" and len(open_parts) <= _DEEPEST:
                open_parts.append([])
                starts.append(mark.start())
            elif mark[0] == "}}" and starts:
                body = "".join(open_parts.pop())
                open_parts[-1].append(self._replaced(body, values, field, f"{field}/{starts.pop()}"))
            else:
                open_parts[-1].append(mark[0])
        open_parts[-1].append(_with_names(text[last:], values))
        return "{{".join("".join(parts) for parts in open_parts)

    def _replaced(self, body: str, values: Mapping[str, str], field: int, place: str) -> str:
        value = self._value(body, values, field, place)
        if value is None:
            return f"{{{{{body}}}}}"
        if value and len(value) > self._room:
            return ""
        self._room -= len(value)
        return value

    def _value(self, body: str, values: Mapping[str, str], field: int, place: str) -> str | None:
        """Return what a macro stands for, or None for an unknown one."""
        plain = body.strip()
        name = plain.lower()
        name = _OTHER_NAMES.get(name, name)
        if name in values:
            if name not in FIELDS:
                return values[name]
            self._room -= len(values[name]) + 1
            if field >= _DEEPEST_FIELD or self._room < 0:
                return ""
            # A field that names itself is empty there.
            return self._expand(values[name], {**values, name: ""}, field + 1)
        if (simple := _SIMPLE.get(name)) is not None:
            return simple(self._now)
        if name.startswith(("//", "hidden_key:", "comment:", "banned ")):
            return ""
        if zone := _ZONE.fullmatch(name):
            minutes = int(zone[1]) * 60 + (int(zone[2] or 0) if int(zone[1]) >= 0 else -int(zone[2] or 0))
            away = timezone(timedelta(minutes=minutes)) if abs(minutes) < 1440 else timezone.utc
            return moment_text("LT", self._now.astimezone(away))
        return self._with_argument(plain, place)

    def _with_argument(self, plain: str, place: str) -> str | None:
        found = _CALL.match(plain)
        if found is None:
            return None
        name, mark, argument = found[1].lower(), found[2], found[3]
        if name in ("random", "pick"):
            # `pick` is the same in every prompt of a chat, and so is `random` here: see the module's docstring.
            choices = _choices(mark, argument)
            return self._random(f"{name}{place}{plain}").choice(choices) if choices else ""
        if name == "roll":
            return self._roll(argument.strip(), place)
        if name == "reverse":
            return argument[::-1]
        if name in ("datetimeformat", "time_format"):
            return moment_text(argument.strip(), self._now)
        if name in ("newline", "space") and _COUNT.fullmatch(argument.strip()):
            return ("\n" if name == "newline" else " ") * min(int(argument), 100)
        return self._variable(name, argument)

    def _variable(self, name: str, argument: str) -> str | None:
        """Set or return a variable. It lasts for one prompt."""
        key, _, value = argument.partition("::")
        key = key.strip()
        if name in ("getvar", "getglobalvar"):
            return self._variables.get(key, "")
        if name in ("setvar", "setglobalvar", "addvar", "addglobalvar", "incvar", "decvar"):
            before = self._variables.get(key, "")
            step = {"incvar": "1", "decvar": "-1"}.get(name, value)
            added = name not in ("setvar", "setglobalvar")
            self._variables[key] = (_sum(before, step) if added else value)[:10_000]
            return self._variables[key] if name in ("incvar", "decvar") else ""
        return None

    def _roll(self, dice: str, place: str) -> str | None:
        found = _DICE.fullmatch(dice)
        if not found:
            return None
        count, sides, extra = int(found[1] or 1), int(found[2] or found[4]), int(found[3] or 0)
        if not sides or not 1 <= count <= _MOST_DICE:
            return None
        source = self._random(f"roll{place}{dice}")
        return str(sum(source.randint(1, sides) for _ in range(count)) + extra)

    def _random(self, what: str) -> random.Random:
        return random.Random(f"{self._seed}/{what}")


def hidden_keys(text: str) -> str:
    """Return the texts of {{hidden_key:…}}, one on each line. No prompt has them, but keys are found in them."""
    return "\n".join(_HIDDEN.findall(text))


def _choices(mark: str, argument: str) -> list[str]:
    """Return the values of {{random::a::b}} or {{random:a,b}}, where a comma is written as \\,."""
    if mark == "::" and "::" in argument:
        return argument.split("::")
    parts = re.split(r"(?<!\\),", argument)
    return [part.replace("\\,", ",").strip() for part in parts]


def _sum(before: str, step: str) -> str:
    try:
        return f"{float(before or 0) + float(step):.15g}"
    except ValueError:
        return before + step


def _with_names(text: str, values: Mapping[str, str]) -> str:
    """Replace the older marks for names: <USER>, <BOT>, <CHAR> and <GROUP>."""
    return _OLD.sub(lambda mark: values.get(_OLD_NAMES[mark[1].lower()], mark[0]), text) if "<" in text else text


_SIMPLE: dict[str, Callable[[datetime], str]] = {
    "newline": lambda now: "\n",
    "space": lambda now: " ",
    "noop": lambda now: "",
    "trim": lambda now: _TRIM,
    "date": lambda now: moment_text("LL", now),
    "time": lambda now: moment_text("LT", now),
    "weekday": lambda now: moment_text("dddd", now),
    "isodate": lambda now: now.strftime("%Y-%m-%d"),
    "isotime": lambda now: now.strftime("%H:%M"),
    # Those that are empty outside of the program that has them.
    "input": lambda now: "",
    "ismobile": lambda now: "false",
}
