"""The Parameters tab: presets and every sampling parameter.

Parameters that the loaded model's loader does not support are hidden and disabled. The help of a parameter says what
the loader does differently.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.protocol.errors import PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import Setting, describe
from modules.settings.sampling_preferences import NEUTRAL
from modules.ui.event_feedback import DIRECT, errors_as_toasts, paragraph, toast, toast_channel
from modules.ui.gradio_internals.hidden_state import hidden_state
from modules.ui.settings_form import changes, entered, field, shown
from modules.ui.tabs.parameter_texts import help_text, loaded_spec, preset_notice, unsupported_button

if TYPE_CHECKING:
    from modules.app import App

# These stand first, as most people change no others. The rest is in folds by group.
COMMON = ("max_new_tokens", "temperature", "top_p", "min_p", "top_k", "repetition_penalty")
# CSS class of a field that the loader does not support. drawer.css hides it until the tab's button shows all.
_UNSUPPORTED = "unsupported"


def draw(app: App, page: gr.Blocks, refresh: gr.Button) -> None:
    """Draw the tab. The page clicks `refresh` when something changed elsewhere."""
    _ParametersTab(app).bind(page, refresh)


class _ParametersTab:
    """The tab's components, and the functions of their events."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._settings = {setting.name: setting for setting in describe(SamplingParams)}
        self._draw_presets()
        self._fields = {key: self._draw_field(key) for key in COMMON}
        # Accordion -> the settings in it.
        self._folds: dict[Any, list[Setting]] = {}
        self._draw_folds()
        self._unsupported = gr.HTML(elem_id="params-unsupported", apply_default_css=False)
        # What is wrong with texts that the person may still correct, as JSON: {name: sentence}.
        self._errors, self._toasts = hidden_state("{}"), toast_channel()
        self._shown = [self._preset, self._name, *self._fields.values(), *self._folds]
        self._shown += [self._unsupported, self._notice, self._refused, self._errors]

    def _draw_presets(self) -> None:
        with gr.Row(elem_classes=["tight"]):
            self._preset = gr.Dropdown(
                choices=[NEUTRAL], label="Preset", elem_id="preset", interactive=True, filterable=False, scale=3
            )
            self._restore = gr.Button("Restore", elem_id="preset-restore", scale=1, min_width=80)
            self._neutralize = gr.Button("Neutralize", elem_id="preset-neutralize", scale=1, min_width=90)
        self._notice = gr.HTML(elem_id="preset-notice", apply_default_css=False)
        self._refused = gr.HTML(elem_id="param-refused", apply_default_css=False)
        with gr.Accordion("Save or delete a preset", open=False, elem_classes=["fold"]), gr.Row(elem_classes=["tight"]):
            self._name = gr.Textbox(label="Name", placeholder="My preset", elem_id="preset-name", scale=3)
            self._save = gr.Button("Save", variant="primary", elem_id="preset-save", scale=1, min_width=70)
            self._delete = gr.Button("Delete", elem_id="preset-delete", scale=1, min_width=70)

    def _draw_field(self, key: str) -> gr.components.Component:
        return field(self._settings[key], self._settings[key].default, prefix="param-")

    def _draw_folds(self) -> None:
        for group in dict.fromkeys(setting.info.group for setting in self._settings.values()):
            rest = [s for s in self._settings.values() if s.info.group == group and s.name not in COMMON]
            with gr.Accordion(group, open=False, elem_classes=["fold"]) as fold:
                self._folds[fold] = sorted(rest, key=lambda one: one.info.advanced)
                for setting in self._folds[fold]:
                    self._fields[setting.name] = self._draw_field(setting.name)

    def bind(self, page: gr.Blocks, refresh: gr.Button) -> None:
        """Connect the components with the functions below."""
        for key, component in self._fields.items():
            gr.on(
                changes(component),
                partial(self._set, key),
                [component, self._errors],
                [self._notice, self._refused, self._errors, component],
                trigger_mode="always_last",
                **DIRECT,
            )
        shown, with_toast = self._shown, [*self._shown, self._toasts]
        self._preset.input(errors_as_toasts(self._pick), self._preset, with_toast, **DIRECT)
        self._restore.click(errors_as_toasts(self._choose), self._preset, shown, **DIRECT)
        self._neutralize.click(errors_as_toasts(partial(self._choose, NEUTRAL)), None, shown, **DIRECT)
        self._save.click(errors_as_toasts(self._save_preset), self._name, with_toast, **DIRECT)
        self._delete.click(errors_as_toasts(self._delete_preset), self._name, with_toast, **DIRECT)
        gr.on([page.load, refresh.click], errors_as_toasts(self._show), None, shown, **DIRECT)

    def _show(self) -> list[object]:
        """Return the present value of everything in the tab."""
        app = self._app
        params, spec = app.sampling.params(), loaded_spec(app)
        updates = [_update(self._settings[key], getattr(params, key), spec) for key in self._fields]
        folds = [gr.update(elem_classes=_classes("fold", _none_supported(f, spec))) for f in self._folds.values()]
        current = app.sampling.preset_name()
        choices = [NEUTRAL, *app.presets.names()]
        dropdown = gr.update(choices=choices, value=current if current in choices else NEUTRAL)
        name = current if current != NEUTRAL else ""
        return [dropdown, name, *updates, *folds, unsupported_button(spec), preset_notice(app), "", "{}"]

    def _choose(self, preset: str) -> list[Any]:
        self._app.sampling.choose_preset(preset)
        return self._show()

    def _pick(self, preset: str) -> list[Any]:
        sampling = self._app.sampling
        try:
            # Gradio's dropdown sends each choice twice.
            if preset == sampling.preset_name() and sampling.params() == sampling.preset(preset):
                return [gr.skip() for _ in [*self._shown, self._toasts]]
            return [*self._choose(preset), gr.skip()]
        except PaddockError as error:
            # The dropdown goes back to the preset in use.
            return [*self._show(), toast(error.message, error=True)]

    def _set(self, key: str, value: Any, errors: str) -> list[object]:
        """Set one parameter. `errors` are those of the other fields, as JSON."""
        sampling, setting = self._app.sampling, self._settings[key]
        sentences = {name: sentence for name, sentence in json.loads(errors).items() if name != key}
        shown_value: Any = gr.skip()
        try:
            sampling.set(key, entered(setting, value))
        except PaddockError as error:
            sentences[key] = error.message
            if _is_number(setting):  # The field goes back to the number in use.
                shown_value = shown(setting, getattr(sampling.params(), key))
        warnings = "".join(paragraph(sentence, "warning") for sentence in sentences.values())
        kept = {name: sentence for name, sentence in sentences.items() if not _is_number(self._settings[name])}
        return [preset_notice(self._app), warnings, json.dumps(kept), shown_value]

    def _save_preset(self, name: str) -> list[Any]:
        name = name.strip()
        if name in ("", NEUTRAL):
            raise PaddockError(f"A preset needs a name other than {NEUTRAL}. Write one in Name, then press Save.")
        self._app.presets.save(name, self._app.sampling.params())
        self._app.settings.set("preset", name)
        return [*self._show(), toast(f"Saved the preset {name}.")]

    def _delete_preset(self, name: str) -> list[Any]:
        name = name.strip()
        self._app.presets.delete(name)
        if self._app.sampling.preset_name() not in self._app.presets.names():
            self._app.settings.set("preset", NEUTRAL)
        return [*self._show(), toast(f"Deleted the preset {name}.")]


def _is_number(setting: Setting) -> bool:
    return setting.kind in (int, float)


def _update(setting: Setting, value: Any, spec: LoaderSpec | None) -> object:
    supported = spec is None or setting.name in spec.samplers
    return gr.update(
        value=shown(setting, value),
        interactive=supported,
        info=help_text(setting, spec),
        elem_classes=_classes("setting", not supported),
    )


def _classes(usual: str, unsupported: bool) -> list[str]:
    return [usual, _UNSUPPORTED] if unsupported else [usual]


def _none_supported(settings: list[Setting], spec: LoaderSpec | None) -> bool:
    return spec is not None and not any(setting.name in spec.samplers for setting in settings)
