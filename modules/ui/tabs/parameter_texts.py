"""Texts of the Parameters tab: the help of each parameter, what the preset is for, and what differs from it."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

from modules.protocol.errors import PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import ALWAYS_HONOURED, SamplingParams
from modules.protocol.schema import Setting, describe
from modules.settings.sampling_preferences import NEUTRAL
from modules.ui.event_feedback import refresh_marker
from modules.ui.number_format import plural

if TYPE_CHECKING:
    from modules.app import App

_NEUTRAL_SUMMARY = "Turns every parameter off, which leaves the model's own probabilities."


def loaded_spec(app: App) -> LoaderSpec | None:
    """Return the loaded model's loader with the parameters that it supports for this model, or None."""
    state = app.supervisor.state
    spec = app.registry.specs.get(state.loader) if state.phase == "ready" else None
    ignored = state.info.ignored if state.info else []
    return replace(spec, samplers=(spec.samplers | ALWAYS_HONOURED).difference(ignored)) if spec else None


def help_text(setting: Setting, spec: LoaderSpec | None) -> str | None:
    """Return the text under the field: its help, and what the loaded model's loader does differently."""
    parts = [setting.info.help]
    if spec and setting.name not in spec.samplers:
        parts.insert(0, f"Not supported by {spec.title}.")
    elif spec and (difference := spec.differs.get(setting.name)):
        parts.append(f"In {spec.title}: {difference}")
    return " ".join(filter(None, parts)) or None


def unsupported_button(spec: LoaderSpec | None) -> str:
    """Return the button that shows the unsupported parameters (static/unsupported_parameters.js), or an empty text."""
    number = sum(setting.name not in spec.samplers for setting in describe(SamplingParams)) if spec else 0
    if spec is None or not number:
        return ""
    label = f"Show {plural(number, 'parameter')} that {spec.title} does not support"
    return f'<button type="button" class="button" data-show-unsupported aria-pressed="false">{escape(label)}</button>'


def preset_notice(app: App) -> str:
    """Return as HTML what the preset is for, and which parameters differ from it."""
    name = app.sampling.preset_name()
    params = app.sampling.params()
    try:
        base = app.sampling.preset(name)
        summary = (
            "Turns every parameter off: the model's own probabilities."
            if name == NEUTRAL
            else app.presets.summary(name)
        )
    except PaddockError as error:
        return f'<p class="quiet">{escape(error.message)}</p>{refresh_marker()}'
    differences = [
        f"{setting.info.label} {_text(getattr(params, setting.name))} (was {_text(getattr(base, setting.name))})"
        for setting in describe(SamplingParams)
        if getattr(params, setting.name) != getattr(base, setting.name)
    ]
    changed = f'<p class="changed">Changed: {escape(", ".join(differences))}.</p>' if differences else ""
    return f'<p class="quiet">{escape(summary)}</p>{changed}{refresh_marker()}'


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    text = str(value) if value not in ("", []) else "none"
    return text if len(text) < 30 else f"{text[:29]}…"
