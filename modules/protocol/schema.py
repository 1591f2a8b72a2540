"""Settings schemas. A dataclass of `setting(...)` fields defines the form, the checks, the flags, the YAML and docs.

Types a field may have: bool, int, float, str, list[str], and `X | None` of the first four.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from modules.protocol.errors import SettingError

T = TypeVar("T")
_KEY = "paddock.setting"
# The group of settings for drafts. Loaders inherit these settings, and the form shows them last.
DRAFTS = "Drafts"
# The types of settings. A list contains texts.
SETTING_TYPES = (bool, int, float, str, list)
# The most digits of an integer given as text, and the most characters of a value quoted in an error.
_LONGEST_NUMBER = 300
_LONGEST_SHOWN = 80


@dataclass(frozen=True)
class SettingInfo:
    """How one setting is shown and checked. `unit` is shown after the number."""

    label: str
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[Any, ...] = ()
    unit: str = ""
    group: str = ""
    advanced: bool = False


@dataclass(frozen=True)
class Setting:
    """One field of a schema: its name, its base type, whether it may be None, its default and its `Info`."""

    name: str
    kind: type
    optional: bool
    default: Any
    info: SettingInfo

    def allowed(self) -> str:
        """Return a description of the allowed values."""
        if self.info.choices:
            words = ", ".join(str(choice) for choice in self.info.choices)
        elif self.kind is bool:
            words = "true or false"
        elif self.kind is list:
            words = "a list of texts"
        else:
            noun = {int: "a whole number", float: "a number", str: "a text"}[self.kind]
            low, high = self.info.minimum, self.info.maximum
            if low is not None and high is not None:
                noun += f" from {_number(low)} to {_number(high)}"
            elif low is not None:
                noun += f" of {_number(low)} or more"
            elif high is not None:
                noun += f" of at most {_number(high)}"
            words = f"{noun} ({self.info.unit})" if self.info.unit else noun
        return f"{words}, or none" if self.optional else words


def _number(value: float) -> str:
    """4194304.0 -> "4194304", 0.5 -> "0.5"."""
    return str(int(value)) if float(value).is_integer() else f"{value:g}"


def setting(
    default: object,
    *,
    label: str,
    help: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    step: float | None = None,
    choices: Iterable[object] = (),
    unit: str = "",
    group: str = "",
    advanced: bool = False,
) -> Any:  # as dataclasses.field(), so that each field keeps its own type
    """Declare one field of a settings dataclass. A list default is copied for each instance."""
    info = SettingInfo(label, help, minimum, maximum, step, tuple(choices), unit, group, advanced)
    if isinstance(default, list):
        frozen = tuple(default)
        return dataclasses.field(default_factory=lambda: list(frozen), metadata={_KEY: info})
    return dataclasses.field(default=default, metadata={_KEY: info})


def describe(schema: type) -> tuple[Setting, ...]:
    """Return the settings of a dataclass in the order of its fields."""
    return _describe(typing.cast(Hashable, schema))


@lru_cache(maxsize=64)
def _describe(schema: Any) -> tuple[Setting, ...]:
    hints = typing.get_type_hints(schema)
    found = []
    for field in dataclasses.fields(schema):
        if _KEY not in field.metadata:
            continue
        kind, optional = _base(hints[field.name])
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        found.append(Setting(field.name, kind, optional, default, field.metadata[_KEY]))
    return tuple(found)


def _base(hint: Any) -> tuple[type, bool]:
    """`int | None` -> (int, True); `list[str]` -> (list, False); `float` -> (float, False)."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        return _base(inner[0])[0], True
    return typing.get_origin(hint) or hint, False


def coerce(setting_: Setting, value: object) -> Any:
    """Return a value from a form, a flag or YAML in the setting's type. Raises SettingError."""
    name = f"({setting_.name})"  # some labels end with it
    wrong = SettingError(
        f"{setting_.info.label.removesuffix(name).strip()} {name} cannot be {format_value(value)}. "
        f"It takes {setting_.allowed()}."
    )
    if value is None or (isinstance(value, str) and setting_.optional and value.strip().lower() in ("", "none")):
        if setting_.optional:
            return None
        raise wrong
    if isinstance(value, bool) and {"on", "off"} <= set(setting_.info.choices):
        value = "on" if value else "off"  # YAML reads these words, without quotes, as true and false.
    try:
        result = _convert(setting_.kind, value)
    except (TypeError, ValueError, OverflowError):
        raise wrong from None
    if setting_.info.choices:
        if result not in setting_.info.choices:
            raise wrong
        return result
    if setting_.kind in (int, float):
        low, high = setting_.info.minimum, setting_.info.maximum
        # An integer may be too large for isfinite, which converts it to a float.
        not_finite = isinstance(result, float) and not math.isfinite(result)
        if not_finite or (low is not None and result < low) or (high is not None and result > high):
            raise wrong
    return result


def format_value(value: object) -> str:
    """Return `value` as text for an error message, shortened if it is long."""
    words = repr(value)
    return words if len(words) <= _LONGEST_SHOWN else f"{words[:_LONGEST_SHOWN]}…"


def _convert(kind: type, value: Any) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
        words = {
            "true": True,
            "yes": True,
            "on": True,
            "1": True,
            "false": False,
            "no": False,
            "off": False,
            "0": False,
        }
        if str(value).strip().lower() in words:
            return words[str(value).strip().lower()]
        raise ValueError
    if kind is int:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError
        # Python 3.10 takes minutes for a million digits.
        if isinstance(value, str) and len(value) > _LONGEST_NUMBER:
            raise ValueError
        return int(value)
    if kind is float:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    if kind is list:
        if isinstance(value, str):
            return [value] if value else []
        if not all(isinstance(item, str) for item in value):
            raise ValueError
        return list(value)
    if not isinstance(value, (str, int, float)):
        raise ValueError
    return str(value)


def build(schema: type[T], values: Mapping[str, object]) -> T:
    """Return an instance of `schema` from `values`. Missing settings have their defaults.

    Raises SettingError for an unknown name, with the known ones, and for a bad value, with the allowed ones.
    """
    known = {entry.name: entry for entry in describe(schema)}
    for name in values:
        if name not in known:
            raise SettingError(f"There is no setting named {name!r}. The settings are: {', '.join(known)}.")
    return schema(**{name: coerce(known[name], value) for name, value in values.items()})


def changed_values(instance: object) -> dict[str, object]:
    """Return the settings that differ from their defaults: the content of a preset or of saved settings."""
    return {
        entry.name: getattr(instance, entry.name)
        for entry in describe(type(instance))
        if getattr(instance, entry.name) != entry.default
    }
