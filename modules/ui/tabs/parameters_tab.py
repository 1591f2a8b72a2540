"""The Parameters tab: presets, and every sampling parameter; those that the loader does not honour are folded away and
greyed, and the tab says what it does differently."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.protocol.errors import PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import ALWAYS_HONOURED, SamplingParams
from modules.protocol.schema import Setting, describe
from modules.settings.sampling_preferences import NEUTRAL
from modules.ui.event_feedback import (
    DIRECT,
    errors_as_toasts,
    paragraph,
    refresh_marker,
    toast,
    toast_channel,
)
from modules.ui.gradio_internals.hidden_state import hidden_state
from modules.ui.number_format import plural
from modules.ui.settings_form import changes, entered, field, shown

if TYPE_CHECKING:
    from modules.app import App

# What most people ever touch stands first; the rest lies in folds by group.
# The class of what the loaded model's loader does not honour; drawer.css hides it until the tab shows all.
_UNSUPPORTED = "unsupported"
COMMON = ("max_new_tokens", "temperature", "top_p", "min_p", "top_k", "repetition_penalty")


def draw(app: App, page: gr.Blocks, refresh: gr.Button) -> None:
    """Draw the tab; `refresh` is clicked by the page when something changed elsewhere."""
    settings = {setting.name: setting for setting in describe(SamplingParams)}
    with gr.Row(elem_classes=["tight"]):
        preset = gr.Dropdown(
            choices=[NEUTRAL], label="Preset", elem_id="preset", interactive=True, filterable=False, scale=3
        )
        restore = gr.Button("Restore", elem_id="preset-restore", scale=1, min_width=80)
        neutralize = gr.Button("Neutralize", elem_id="preset-neutralize", scale=1, min_width=90)
    notice = gr.HTML(elem_id="preset-notice", apply_default_css=False)
    refused = gr.HTML(elem_id="param-refused", apply_default_css=False)
    with gr.Accordion("Save or delete a preset", open=False, elem_classes=["fold"]), gr.Row(elem_classes=["tight"]):
        name = gr.Textbox(label="Name", placeholder="My preset", elem_id="preset-name", scale=3)
        save = gr.Button("Save", variant="primary", elem_id="preset-save", scale=1, min_width=70)
        delete = gr.Button("Delete", elem_id="preset-delete", scale=1, min_width=70)
    fields = {key: field(settings[key], settings[key].default, prefix="param-") for key in COMMON}
    folds: dict[Any, list[Setting]] = {}
    for group in dict.fromkeys(setting.info.group for setting in settings.values()):
        rest = [s for s in settings.values() if s.info.group == group and s.name not in COMMON]
        with gr.Accordion(group, open=False, elem_classes=["fold"]) as fold:
            folds[fold] = sorted(rest, key=lambda one: one.info.advanced)
            for setting in folds[fold]:
                fields[setting.name] = field(setting, setting.default, prefix="param-")
    unsupported = gr.HTML(elem_id="params-unsupported", apply_default_css=False)
    # What is wrong with texts that stay for mending: {name: sentence}.
    wrong, toasts = hidden_state("{}"), toast_channel()
    everything = [preset, name, *fields.values(), *folds, unsupported, notice, refused, wrong]

    def show() -> list[Any]:
        params, spec = app.sampling.params(), loaded_spec(app)
        updates = [_update(settings[key], getattr(params, key), spec) for key in fields]
        updates += [gr.update(elem_classes=_classes("fold", _none_supported(rest, spec))) for rest in folds.values()]
        updates.append(_unsupported_button(spec))
        current = app.sampling.preset_name()
        choices = [NEUTRAL, *app.presets.names()]
        dropdown = gr.update(choices=choices, value=current if current in choices else NEUTRAL)
        return [dropdown, current if current != NEUTRAL else "", *updates, _notice(app), "", "{}"]

    def choose(chosen: str) -> list[Any]:
        app.sampling.choose_preset(chosen)
        return show()

    def pick(chosen: str) -> list[Any]:
        try:
            # Gradio's list says each choice twice.
            if chosen == app.sampling.preset_name() and app.sampling.params() == app.sampling.preset(chosen):
                return [gr.skip() for _ in [*everything, toasts]]
            return [*choose(chosen), gr.skip()]
        except PaddockError as error:
            # The list goes back to the one that holds.
            return [*show(), toast(error.message, error=True)]

    def keep(key: str, value: Any, wrong: str) -> list[Any]:
        sentences = {name: words for name, words in json.loads(wrong).items() if name != key}
        back: Any = gr.skip()
        try:
            app.sampling.set(key, entered(settings[key], value))
        except PaddockError as error:
            sentences[key] = error.message
            if settings[key].kind in (int, float):  # It gives way to the one that holds.
                back = shown(settings[key], getattr(app.sampling.params(), key))
        alarms = "".join(paragraph(words, "warning") for words in sentences.values())
        stays = {name: words for name, words in sentences.items() if settings[name].kind not in (int, float)}
        return [_notice(app), alarms, json.dumps(stays), back]

    def save_as(wanted: str) -> list[Any]:
        if wanted.strip() in ("", NEUTRAL):
            raise PaddockError("A preset needs a name of its own. Write one beside Save.")
        app.presets.save(wanted.strip(), app.sampling.params())
        app.settings.set("preset", wanted.strip())
        return [*show(), toast(f"Saved as {wanted.strip()}.")]

    def remove(wanted: str) -> list[Any]:
        app.presets.delete(wanted.strip())
        if app.sampling.preset_name() not in app.presets.names():
            app.settings.set("preset", NEUTRAL)
        return [*show(), toast(f"Deleted {wanted.strip()}.")]

    for key, component in fields.items():
        shows = [notice, refused, wrong, component]
        gr.on(changes(component), partial(keep, key), [component, wrong], shows, trigger_mode="always_last", **DIRECT)
    preset.input(errors_as_toasts(pick), preset, [*everything, toasts], **DIRECT)
    restore.click(errors_as_toasts(choose), preset, everything, **DIRECT)
    neutralize.click(errors_as_toasts(lambda: choose(NEUTRAL)), None, everything, **DIRECT)
    save.click(errors_as_toasts(save_as), name, [*everything, toasts], **DIRECT)
    delete.click(errors_as_toasts(remove), name, [*everything, toasts], **DIRECT)
    gr.on([page.load, refresh.click], errors_as_toasts(show), None, everything, **DIRECT)


def loaded_spec(app: App) -> LoaderSpec | None:
    """The loaded model's loader, with what it honours for this model; None while nothing is loaded."""
    state = app.supervisor.state
    spec = app.registry.specs.get(state.loader) if state.phase == "ready" else None
    ignored = state.info.ignored if state.info else []
    return replace(spec, samplers=(spec.samplers | ALWAYS_HONOURED).difference(ignored)) if spec else None


def _update(setting: Setting, value: Any, spec: LoaderSpec | None) -> Any:
    supported = spec is None or setting.name in spec.samplers
    classes = _classes("setting", not supported)
    return gr.update(
        value=shown(setting, value), interactive=supported, info=described(setting, spec), elem_classes=classes
    )


def _classes(usual: str, unsupported: bool) -> list[str]:
    return [usual, _UNSUPPORTED] if unsupported else [usual]


def _none_supported(settings: list[Setting], spec: LoaderSpec | None) -> bool:
    return spec is not None and not any(setting.name in spec.samplers for setting in settings)


def _unsupported_button(spec: LoaderSpec | None) -> str:
    """The button that shows what the loader does not honour; static/fields.js listens to it."""
    number = sum(setting.name not in spec.samplers for setting in describe(SamplingParams)) if spec else 0
    if spec is None or not number:
        return ""
    words = f"{plural(number, 'parameter')} that {spec.title} does not honour"
    return (
        f'<button type="button" class="button" data-show-unsupported aria-pressed="false">Show {escape(words)}</button>'
    )


def described(setting: Setting, spec: LoaderSpec | None) -> str | None:
    """What stands under the field: its help, and what the loaded model's loader makes of it."""
    words = [setting.info.help]
    if spec and setting.name not in spec.samplers:
        words.insert(0, f"Not honoured by {spec.title}.")
    elif spec and (difference := spec.differs.get(setting.name)):
        words.append(f"In {spec.title}: {difference}")
    return " ".join(filter(None, words)) or None


def _notice(app: App) -> str:
    """What the preset is for, and which parameters differ from it."""
    name = app.sampling.preset_name()
    params = app.sampling.params()
    try:
        base = app.sampling.preset(name)
        summary = "Every parameter off: the model's own distribution." if name == NEUTRAL else app.presets.summary(name)
    except PaddockError as error:
        return f'<p class="quiet">{escape(error.message)}</p>{refresh_marker()}'
    words = [
        f"{setting.info.label} {_words(getattr(params, setting.name))} (was {_words(getattr(base, setting.name))})"
        for setting in describe(SamplingParams)
        if getattr(params, setting.name) != getattr(base, setting.name)
    ]
    changed = f'<p class="changed">Changed: {escape(", ".join(words))}.</p>' if words else ""
    return f'<p class="quiet">{escape(summary)}</p>{changed}{refresh_marker()}'


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    text = str(value) if value not in ("", []) else "none"
    return text if len(text) < 30 else f"{text[:29]}…"
