"""A script's `params`, overridden by the user's settings and shown as settings of the extension."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from dataclasses import make_dataclass
from typing import Any

from modules.protocol.schema import setting

# These describe how the extension is shown, not what it does.
_ABOUT = ("display_name", "is_tab", "name")


class Params:
    """Connects a script's dictionary with the settings. Its components may write to it too; the last value counts.

    `overrides`: from `<extension>-<param>` in settings.yaml, replaces the script's defaults. `saved`: set on the page.
    """

    def __init__(self, params: dict[str, Any], overrides: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
        self._params = params
        params.update({name: overrides[name] for name in params if name in overrides})
        fields = {name: value for name, value in params.items() if _can_be_shown(name, value)}
        self.schema: type[Any] | None = None
        if fields:
            shown = [(name, type(value), _as_setting(name, value)) for name, value in fields.items()]
            self.schema = make_dataclass("Settings", shown, frozen=True)
        params.update({name: saved[name] for name in params if name in saved})
        self._taken = {name: params[name] for name in fields}

    def take(self, settings: object) -> None:
        """Apply settings that were changed on the page since the last call."""
        for name, known in self._taken.items():
            value = getattr(settings, name, known)
            if value != known:
                self._params[name] = self._taken[name] = value

    def plain(self) -> dict[str, object]:
        """Return the values that can be sent to another process."""
        return {str(name): value for name, value in self._params.items() if _is_plain(value)}


def _as_setting(name: str, value: object) -> object:
    return setting(value, label=name.replace("_", " ").capitalize())


def _can_be_shown(name: object, value: object) -> bool:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name[0] == "_":
        return False
    return name not in _ABOUT and isinstance(value, (bool, int, float, str))


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(entry) for entry in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(entry) for key, entry in value.items())
    return value is None or isinstance(value, (bool, int, float, str))
