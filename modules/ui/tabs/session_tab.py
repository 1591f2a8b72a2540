"""The Session tab: the look, the system prompt, names, what happens when a chat grows too long, and autosave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.protocol.errors import PaddockError
from modules.protocol.model_facts import AIMS
from modules.ui.event_feedback import DIRECT, errors_as_toasts, paragraph, refresh_marker, toast, toast_channel

if TYPE_CHECKING:
    from modules.app import App

_THEMES = [("Follow the system", "system"), ("Light", "light"), ("Dark", "dark")]
_OVERFLOW = [("Leave the oldest messages out", "cut"), ("Refuse and say so", "refuse")]
_NOBODY = "None"
_UNDO = "session-undo"
# What each field is kept as, and what it is without a word from the user.
_DEFAULTS = {
    "system": "",
    "character": "",
    "name1": "",
    "name2": "",
    "overflow": "cut",
    "theme": "system",
    "aim": AIMS[0],
}


def draw(app: App, page: gr.Blocks, refresh: gr.Button) -> None:
    """Draw the tab."""
    fields: dict[str, Any] = {}
    fields["theme"] = gr.Radio(_THEMES, label="Appearance", value="system", elem_id="session-theme")
    fields["system"] = gr.Textbox(
        label="System prompt",
        lines=3,
        max_lines=10,
        placeholder="You are a helpful assistant.",
        info="Opens every chat. A longer one takes more of the context, and time before the first token of a new chat.",
        elem_id="session-system",
    )
    fields["character"] = gr.Dropdown(
        choices=[_NOBODY],
        value=_NOBODY,
        label="Character of new chats",
        info=f"Characters are YAML files in {app.paths.display(app.paths.characters)}, with name, context and "
        "greeting. Character cards (JSON) are read too.",
        elem_id="session-character",
    )
    about_character = gr.HTML(elem_id="session-character-about", apply_default_css=False)
    with gr.Row(elem_classes=["tight"]):
        fields["name1"] = gr.Textbox(label="Your name", placeholder="You", elem_id="session-name1", min_width=120)
        fields["name2"] = gr.Textbox(label="The model's name", placeholder="AI", elem_id="session-name2", min_width=120)
    fields["overflow"] = gr.Radio(
        _OVERFLOW,
        label="When a chat is longer than the context",
        value="cut",
        info="Leaving messages out keeps the chat going; the reply says how many did not fit.",
        elem_id="session-overflow",
    )
    fields["aim"] = gr.Radio(
        [(name.capitalize(), name) for name in AIMS],
        label="Propose the loader that is best at",
        value=AIMS[0],
        info="Which one comes first on the Model tab, for models that were not loaded yet.",
        elem_id="session-aim",
    )
    autosave = gr.Checkbox(
        label="Save settings as I change them",
        info="Off: parameters and the settings of this tab last until Paddock ends, unless you press Save now.",
        elem_id="session-autosave",
    )
    with gr.Row(elem_classes=["tight"]):
        save = gr.Button("Save now", elem_id="session-save", min_width=100)
        discard = gr.Button("Discard", elem_id="session-discard", min_width=100)
        reset = gr.Button("Defaults", elem_id="session-reset", min_width=100)
    undo = gr.Button("Undo", visible="hidden", elem_id=_UNDO)
    unsaved = gr.HTML(elem_id="session-unsaved", apply_default_css=False)
    everything = [*fields.values(), autosave, save, discard, unsaved, about_character]
    toasts = toast_channel()
    # What Defaults took away last, on whichever page.
    before: dict[str, Any] = {}

    def show() -> list[Any]:
        values = {key: app.settings.get(key, default) for key, default in _DEFAULTS.items()}
        characters = [_NOBODY, *app.characters.names()]
        values["character"] = gr.update(choices=characters, value=values["character"] or _NOBODY)
        # Saved at once, nothing is left to save or to discard.
        by_hand = gr.update(visible=not app.settings.autosave)
        return [
            *(values[key] for key in fields),
            app.settings.autosave,
            by_hand,
            by_hand,
            _unsaved_notice(app),
            _about(app),
        ]

    def keep(key: str) -> Any:
        def change(value: Any) -> str:
            empty = value in ("", _NOBODY, _DEFAULTS[key])
            app.settings.set(key, None if empty else value)
            return _unsaved_notice(app)

        return errors_as_toasts(change)

    def show_all() -> list[Any]:
        # Pages hear of the look with the model's state.
        app.supervisor.state_store.publish()
        return show()

    def back() -> list[Any]:
        app.settings.discard()
        return show_all()

    def write() -> list[Any]:
        app.settings.save()
        return show()

    def switch(on: bool) -> list[Any]:
        app.settings.set_autosave(on)
        return show()

    def restore() -> list[Any]:
        now = {key: app.settings.get(key) for key in _DEFAULTS}
        app.settings.update(dict.fromkeys(_DEFAULTS))
        if not any(now.values()):
            return [*show_all(), toast("All of it is at its defaults already.")]
        before.update(now)
        return [*show_all(), toast("This tab is back at its defaults.", undo=_UNDO)]

    def take_back() -> list[Any]:
        app.settings.update(before)
        return show_all()

    for key, component in fields.items():
        triggers = [component.blur, component.submit] if isinstance(component, gr.Textbox) else [component.input]
        script = "(value) => { window.dispatchEvent(new CustomEvent('paddock-theme', {detail: value})); return value; }"
        kept = gr.on(triggers, keep(key), component, unsaved, js=script if key == "theme" else None, **DIRECT)
        if key == "character":
            kept.then(lambda: _about(app), None, about_character, **DIRECT)
        if key == "aim":  # the Model tab shows another proposal
            kept.then(None, js="() => document.querySelector('#refresh-all').click()", **DIRECT)
    autosave.input(errors_as_toasts(switch), autosave, everything, **DIRECT)
    save.click(errors_as_toasts(write), None, everything, **DIRECT)
    discard.click(errors_as_toasts(back), None, everything, **DIRECT)
    reset.click(errors_as_toasts(restore), None, [*everything, toasts], **DIRECT)
    undo.click(errors_as_toasts(take_back), None, everything, **DIRECT)
    gr.on([page.load, refresh.click], show, None, everything, **DIRECT)


def _unsaved_notice(app: App) -> str:
    return paragraph("Something is changed and not saved yet." if app.settings.unsaved else "") + refresh_marker()


def _about(app: App) -> str:
    """What is the matter with the character of new chats, or nothing."""
    name = str(app.settings.get("character") or "")
    if not name:
        return ""
    try:
        return paragraph(" ".join(app.characters.load(name).notes))
    except PaddockError as error:
        return paragraph(error.message)
