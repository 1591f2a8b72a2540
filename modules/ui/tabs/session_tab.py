"""The Session tab: appearance, system prompt, character and names, what to do with long chats, and autosave."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.chat.chat_preferences import MOST_THINKING, unknown_to_template
from modules.protocol.errors import PaddockError
from modules.protocol.model_facts import AIMS
from modules.ui import language
from modules.ui.event_feedback import DIRECT, errors_as_toasts, paragraph, refresh_marker, toast, toast_channel
from modules.ui.tabs import look_fields

if TYPE_CHECKING:
    from modules.app import App

_THEMES = [("Follow the system", "system"), ("Light", "light"), ("Dark", "dark")]
_OVERFLOW = [
    ("Leave out the oldest messages", "cut"),
    ("Leave them out, and let the model summarize them", "summarize"),
    ("Refuse the message", "refuse"),
]
_AUTO = ("As the model does", "auto")
_THINKING = [_AUTO, ("On", "on"), ("Off", "off")]
_EFFORT = [_AUTO, ("Low", "low"), ("Medium", "medium"), ("High", "high")]
_NO_CHARACTER = "None"
_UNDO = "session-undo"
# Each field's key in the settings, and its value while the settings have none.
_DEFAULTS = {
    "system": "",
    "character": "",
    "name1": "",
    "name2": "",
    "overflow": "cut",
    "thinking": "auto",
    "effort": "auto",
    "thinking_budget": 0,
    "auto_titles": False,
    "theme": "system",
    "language": "",
    "read_replies": False,
    **look_fields.DEFAULTS,
    "collapse_replies": False,
    "aim": AIMS[0],
}
# Every open page applies these at once, as a part of the model's state.
_SENT = ("theme", "language", "read_replies", "collapse_replies", *look_fields.DEFAULTS)
# The page changes its theme at once, before the host answers.
_APPLY_THEME = """(value) => {
    window.dispatchEvent(new CustomEvent('paddock-theme', {detail: value}));
    return value;
}"""
_REFRESH_ALL = "() => document.querySelector('#refresh-all').click()"


def draw(app: App, page: gr.Blocks, refresh: gr.Button) -> None:
    """Draw the tab. The page clicks `refresh` when something changed elsewhere."""
    _SessionTab(app).bind(page, refresh)


def _draw_fields(app: App) -> dict[str, Any]:
    """Draw one field for each key of `_DEFAULTS`."""
    fields: dict[str, Any] = {}
    fields["theme"] = gr.Radio(_THEMES, label="Appearance", value="system", elem_id="session-theme")
    fields |= look_fields.draw()
    fields["language"] = gr.Dropdown(
        [("As the browser asks for", ""), *_languages()],
        label="Language",
        value="",
        filterable=False,
        info="No native speaker has read the translations yet. Texts without one are in English.",
        elem_id="session-language",
    )
    fields["collapse_replies"] = gr.Checkbox(
        label="Collapse long replies",
        info="All but the newest one. A button shows the whole reply.",
        value=False,
        elem_id="session-collapse-replies",
    )
    fields["system"] = gr.Textbox(
        label="System prompt",
        lines=3,
        max_lines=10,
        placeholder="You are a helpful assistant.",
        info="Every chat begins with it. A long one takes up context, and a new chat's first token takes longer.",
        elem_id="session-system",
    )
    fields["character"] = gr.Dropdown(
        choices=[_NO_CHARACTER],
        value=_NO_CHARACTER,
        label="Character of new chats",
        info="Make, import and edit characters with the button Characters beside the list of chats.",
        elem_id="session-character",
    )
    fields["character_notes"] = gr.HTML(elem_id="session-character-about", apply_default_css=False)
    with gr.Row(elem_classes=["tight"]):
        fields["name1"] = gr.Textbox(label="Your name", placeholder="You", elem_id="session-name1", min_width=120)
        fields["name2"] = gr.Textbox(label="The model's name", placeholder="AI", elem_id="session-name2", min_width=120)
    fields["overflow"] = gr.Radio(
        _OVERFLOW,
        label="When a chat is longer than the context",
        value="cut",
        info="If messages are left out, the reply says how many, and the chat shows where.",
        elem_id="session-overflow",
    )
    fields["thinking"] = gr.Radio(
        _THINKING,
        label="Thinking before the answer",
        value="auto",
        info="For models whose chat template has a switch for it.",
        elem_id="session-thinking",
    )
    fields["effort"] = gr.Radio(
        _EFFORT,
        label="Effort of thinking",
        value="auto",
        info="For models whose chat template takes it, such as gpt-oss.",
        elem_id="session-effort",
    )
    fields["thinking_budget"] = gr.Number(
        label="Longest thinking (tokens)",
        value=0,
        minimum=0,
        maximum=MOST_THINKING,
        precision=0,
        info="After so many tokens the model has to answer. 0 is no limit.",
        elem_id="session-thinking-budget",
    )
    fields["thinking_notes"] = gr.HTML(elem_id="session-thinking-about", apply_default_css=False)
    fields["read_replies"] = gr.Checkbox(
        label="Read replies aloud when they are complete",
        info="With the voice of an extension, such as Read aloud. Each reply has a button for it, too.",
        elem_id="session-read-replies",
    )
    fields["auto_titles"] = gr.Checkbox(
        label="Let the model write titles of chats",
        info="After the first reply, while the model is idle. A message that you send always comes first.",
        elem_id="session-auto-titles",
    )
    fields["aim"] = gr.Radio(
        [(name.capitalize(), name) for name in AIMS],
        label="Prefer loaders optimised for",
        value=AIMS[0],
        info="Decides which loader the Model tab suggests first for a model that was not loaded before.",
        elem_id="session-aim",
        # It is a setting of the machine, which accounts share.
        visible=app.account is None,
    )
    return fields


def _languages() -> list[tuple[str, str]]:
    return [(language.NAMES.get(name, name), name) for name in language.languages()]


class _SessionTab:
    """The tab's components, and the functions of their events."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._fields = _draw_fields(app)
        self._character_notes = self._fields.pop("character_notes")
        self._thinking_notes = self._fields.pop("thinking_notes")
        self._autosave = gr.Checkbox(
            label="Save settings as I change them",
            info="If off, parameters and the settings of this tab last until Paddock ends, unless you press Save now.",
            elem_id="session-autosave",
        )
        with gr.Row(elem_classes=["tight"]):
            self._save = gr.Button("Save now", elem_id="session-save", min_width=100)
            self._discard = gr.Button("Discard changes", elem_id="session-discard", min_width=100)
            self._reset = gr.Button("Restore defaults", elem_id="session-reset", min_width=100)
        self._undo = gr.Button("Undo", visible="hidden", elem_id=_UNDO)
        self._unsaved = gr.HTML(elem_id="session-unsaved", apply_default_css=False)
        self._toasts = toast_channel()
        # What "Restore defaults" replaced last, on any page.
        self._replaced: dict[str, Any] = {}

    def bind(self, page: gr.Blocks, refresh: gr.Button) -> None:
        """Connect the components with the functions below."""
        shown = [
            *self._fields.values(),
            self._autosave,
            self._save,
            self._discard,
            self._unsaved,
            self._character_notes,
            self._thinking_notes,
        ]
        for key, component in self._fields.items():
            self._bind_field(key, component)
        self._autosave.input(errors_as_toasts(self._set_autosave), self._autosave, shown, **DIRECT)
        self._save.click(errors_as_toasts(self._save_now), None, shown, **DIRECT)
        self._discard.click(errors_as_toasts(self._discard_changes), None, shown, **DIRECT)
        self._reset.click(errors_as_toasts(self._restore_defaults), None, [*shown, self._toasts], **DIRECT)
        self._undo.click(errors_as_toasts(self._undo_defaults), None, shown, **DIRECT)
        gr.on([page.load, refresh.click], self._show, None, shown, **DIRECT)

    def _bind_field(self, key: str, component: Any) -> None:
        typed = isinstance(component, (gr.Textbox, gr.Number))
        triggers = [component.blur, component.submit] if typed else [component.input]
        script = _APPLY_THEME if key == "theme" else None
        changed = gr.on(triggers, self._setter(key), component, self._unsaved, js=script, **DIRECT)
        if key == "character":
            changed.then(lambda: character_notes(self._app), None, self._character_notes, **DIRECT)
        if key in ("thinking", "effort", "thinking_budget"):
            changed.then(lambda: thinking_notes(self._app), None, self._thinking_notes, **DIRECT)
        if key == "aim":  # The Model tab may suggest another loader now.
            changed.then(None, js=_REFRESH_ALL, **DIRECT)

    def _setter(self, key: str) -> Callable[[Any], str]:
        def change(value: Any) -> str:
            default = value in ("", _NO_CHARACTER, _DEFAULTS[key])
            look_fields.check(key, value)
            self._app.settings.set(key, None if default else value)
            if key in _SENT:
                self._app.supervisor.state_store.publish()
            return _unsaved_notice(self._app)

        return errors_as_toasts(change)

    def _show(self) -> list[Any]:
        """Return the present value of everything in the tab."""
        settings = self._app.settings
        values = {key: settings.get(key, default) for key, default in _DEFAULTS.items()}
        characters = [_NO_CHARACTER, *self._app.characters.names()]
        values["character"] = gr.update(choices=characters, value=values["character"] or _NO_CHARACTER)
        # With autosave there is nothing to save or to discard.
        manual = gr.update(visible=not settings.autosave)
        notices = [_unsaved_notice(self._app), character_notes(self._app), thinking_notes(self._app)]
        return [*(values[key] for key in self._fields), settings.autosave, manual, manual, *notices]

    def _show_everywhere(self) -> list[Any]:
        """Return what `_show` does. All pages get the theme, with the model's state."""
        self._app.supervisor.state_store.publish()
        return self._show()

    def _set_autosave(self, on: bool) -> list[Any]:
        self._app.settings.set_autosave(on)
        return self._show()

    def _save_now(self) -> list[Any]:
        self._app.settings.save()
        return self._show()

    def _discard_changes(self) -> list[Any]:
        self._app.settings.discard()
        return self._show_everywhere()

    def _restore_defaults(self) -> list[Any]:
        before = {key: self._app.settings.get(key) for key in _DEFAULTS}
        self._app.settings.update(dict.fromkeys(_DEFAULTS))
        if not any(before.values()):
            return [*self._show_everywhere(), toast("Everything is already at its default.")]
        self._replaced.update(before)
        return [*self._show_everywhere(), toast("Restored the defaults of this tab.", undo=_UNDO)]

    def _undo_defaults(self) -> list[Any]:
        self._app.settings.update(self._replaced)
        return self._show_everywhere()


def _unsaved_notice(app: App) -> str:
    return paragraph("There are unsaved changes." if app.settings.unsaved else "") + refresh_marker()


def thinking_notes(app: App) -> str:
    """Return which settings for thinking the loaded model's template does not know, as HTML, or an empty text."""
    try:
        options = app.chat_preferences.options()
    except PaddockError as error:
        return paragraph(error.message)
    info, model = app.supervisor.state.info, app.supervisor.state.model
    unknown = unknown_to_template(options, options.template or (info.template if info else ""))
    if not info or not unknown:
        return ""
    return paragraph(f"The chat template of {model} has no {' and no '.join(unknown)}, so that has no effect on it.")


def character_notes(app: App) -> str:
    """Return what is wrong with the character of new chats, as HTML, or an empty text."""
    name = str(app.settings.get("character") or "")
    if not name:
        return ""
    try:
        return paragraph(" ".join(app.characters.load(name).notes))
    except PaddockError as error:
        return paragraph(error.message)
