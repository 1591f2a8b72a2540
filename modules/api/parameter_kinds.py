"""Refuse sampling parameters of the wrong kind, such as the text "3" for a number.

Presets and command lines have texts for everything, so the settings' own check converts them. In JSON a text where a
number belongs is a fault of the client.
"""

from __future__ import annotations

from modules.protocol.errors import SettingError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import describe, format_value

PARAMETERS = {entry.name: entry for entry in describe(SamplingParams)}
_SHAPES = {bool: "true or false, without quotes", str: "a text", list: "a text or a list of texts"}


def check_parameter(name: str, parameter: str, value: object) -> None:
    """Raise SettingError if `value`, sent as `name`, is of another kind than the parameter, whatever its range."""
    kind = PARAMETERS[parameter].kind
    if parameter == "logit_bias" and isinstance(value, dict):
        return
    if kind in (int, float):
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    elif kind is list:
        fits = isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))
    else:
        fits = isinstance(value, kind)
    if not fits:
        shape = _SHAPES.get(kind, f"{PARAMETERS[parameter].allowed()}, without quotes")
        raise SettingError(f"{name!r} must be {shape}, not {format_value(value)}.")
