"""Draw a form from a schema: one field for each setting, with its label, unit, range and help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from modules.protocol.errors import SettingError
from modules.protocol.schema import DRAFTS, Setting, coerce
from modules.ui.gradio_internals.slider import UncheckedSlider

# A slider with more steps than this is too fine to set by hand. Such a number gets a plain field.
_STOPS = 2000


def caption(setting: Setting) -> str:
    """Return the label with its unit."""
    unit = setting.info.unit
    return f"{setting.info.label} ({unit})" if unit else setting.info.label


def shown(setting: Setting, value: Any) -> Any:
    """Return a value as its field shows it: of a list one text a line, with line breaks in a text written as \\n."""
    if setting.kind is list:
        return "\n".join(item.replace("\\", "\\\\").replace("\n", "\\n") for item in value)
    if setting.optional and setting.kind in (int, float):
        return "" if value is None else str(value)
    return value


def entered(setting: Setting, value: Any) -> Any:
    """Return what a person entered, in the setting's own type. Raise SettingError."""
    if setting.kind is list:
        lines = [line for line in str(value or "").split("\n") if line]
        return coerce(setting, [_unescape(line) for line in lines])
    if value is None and not setting.optional:
        raise SettingError(f"{setting.info.label} is empty. It takes {setting.allowed()}.")
    return coerce(setting, value)


def _unescape(line: str) -> str:
    return "\\".join(part.replace("\\n", "\n") for part in line.split("\\\\"))


def _range(setting: Setting) -> tuple[float, float] | None:
    """Return the ends of the slider, or None for a number that gets a plain field."""
    low, high = setting.info.minimum, setting.info.maximum
    if low is None or high is None or (high - low) / step(setting) > _STOPS:
        return None
    return low, high


def step(setting: Setting) -> float:
    """Return the smallest change that the field offers."""
    return setting.info.step or (1 if setting.kind is int else 0.01)


def field(
    setting: Setting, value: Any, *, prefix: str = "", offered: Sequence[str] = (), **extra: object
) -> gr.components.Component:
    """Draw the field of one setting into the Blocks that are being built. Its id is `prefix` and the name.

    `offered`: texts to choose from, beside any other that a person types. An empty text stands for none.
    """
    info = setting.info
    common: dict[str, Any] = {
        "label": caption(setting),
        "info": info.help or None,
        "elem_id": f"{prefix}{setting.name}",
    }
    common |= {"elem_classes": ["setting"], "interactive": True, **extra}
    if setting.kind is bool:
        return gr.Checkbox(value=value, **common)
    if info.choices:
        choices = [(str(choice), choice) for choice in info.choices]
        return gr.Dropdown(choices=choices, value=value, filterable=False, **common)
    if offered:
        texts = [("none", ""), *((text, text) for text in offered)]
        return gr.Dropdown(choices=texts, value=value, allow_custom_value=True, **common)
    if setting.kind in (int, float) and not setting.optional:
        if ends := _range(setting):
            return UncheckedSlider(*ends, value=value, step=step(setting), buttons=[], **common)
        # The field has no limits: the schema checks the number, and its message says what is allowed.
        return gr.Number(value=value, precision=None, **common)
    if setting.kind is list:
        return gr.Textbox(value=shown(setting, value), lines=2, max_lines=8, **common)
    # Also an optional number, because Gradio's number field turns an empty value into 0.
    return gr.Textbox(value=shown(setting, value), lines=1, max_lines=6, **common)


def changes(component: Any) -> list[Any]:
    """Return the events at which a field has changed: when a person leaves it or presses Enter, not at each key."""
    if isinstance(component, gr.Slider):
        return [component.release]
    if isinstance(component, (gr.Number, gr.Textbox)):
        return [component.blur, component.submit]
    return [component.input]


def group_order(settings: Sequence[Setting]) -> list[str]:
    """Return the groups of settings in the order of their folds. Drafts, which loaders inherit, are the last."""
    groups = list(dict.fromkeys(setting.info.group for setting in settings))
    return sorted(groups, key=lambda group: group == DRAFTS)


def form(
    settings: Sequence[Setting],
    values: Mapping[str, object],
    *,
    prefix: str = "",
    offered: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, gr.components.Component]:
    """Draw all fields: a fold for each group, with the first one open, and a fold for the advanced settings.

    `offered`: name of a setting -> texts to choose from, beside any other.
    """
    fields: dict[str, gr.components.Component] = {}

    def draw(chosen: Sequence[Setting]) -> None:
        for setting in chosen:
            value, texts = values.get(setting.name, setting.default), (offered or {}).get(setting.name, ())
            fields[setting.name] = field(setting, value, prefix=prefix, offered=texts)

    plain = [setting for setting in settings if not setting.info.advanced]
    for place, group in enumerate(group_order(plain)):
        members = [setting for setting in plain if setting.info.group == group]
        if not group:
            draw(members)
        else:
            with gr.Accordion(group, open=place == 0, elem_classes=["fold"]):
                draw(members)
    advanced = [setting for setting in settings if setting.info.advanced]
    if advanced:
        with gr.Accordion("Advanced", open=False, elem_classes=["fold"]):
            draw(advanced)
    return fields
