"""What the user chose on the page, as the rest of Paddock takes it. Checked on each read: the file may be edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.chat.characters import fill_in
from modules.chat.messages import ChatHead, ChatOptions
from modules.generation.presets import FIRST_PRESET
from modules.protocol import schema
from modules.protocol.errors import PaddockError, SettingError
from modules.protocol.sampling import READERS, SamplingParams

if TYPE_CHECKING:
    from modules.app import App


# The preset of no presets: every parameter off.
NEUTRAL = "Neutral"


def preset_name(app: App) -> str:
    """The preset chosen last."""
    return str(app.settings.get("preset", FIRST_PRESET if FIRST_PRESET in app.presets.names() else NEUTRAL))


def preset(app: App, name: str) -> SamplingParams:
    """The parameters of a preset. Raises PaddockError where there is none of that name."""
    return SamplingParams() if name == NEUTRAL else app.presets.load(name)


def choose_preset(app: App, name: str) -> None:
    """Set all parameters to the preset's."""
    app.settings.update({"sampling": schema.changed(preset(app, name)), "preset": name})


def sampling(app: App) -> SamplingParams:
    """The parameters set on the page. Raises SettingError when the file holds a bad value."""
    kept = app.settings.get("sampling")
    return preset(app, preset_name(app)) if kept is None else schema.build(SamplingParams, kept)


def set_sampling(app: App, name: str, value: Any) -> None:
    """Check one parameter and keep it; the others stay as they are, whoever changed them. Raises SettingError, and what
    a reply would raise for a text that it could not read."""
    params = schema.build(SamplingParams, schema.changed(sampling(app)) | {name: value})
    if read := READERS.get(name):
        read(params)
    app.settings.set("sampling", schema.changed(params))


def chat_options(app: App, chat_id: str = "") -> ChatOptions:
    """How prompts are made: what the Session tab says, and the chat's own character."""
    settings = app.settings
    overflow = settings.get("overflow", "cut")
    if overflow not in ("cut", "refuse"):
        raise SettingError(f"overflow cannot be {overflow!r}. It takes cut or refuse: choose one on the Session tab.")
    return ChatOptions(
        template=template_of(app, app.supervisor.state.model),
        system=str(settings.get("system", "")),
        overflow=overflow,
        name1=str(settings.get("name1", "") or "You"),
        name2=str(settings.get("name2", "") or "AI"),
        character=app.chats.head(chat_id).character if chat_id else str(settings.get("character", "")),
    )


def new_chat(app: App) -> ChatHead:
    """A new chat with the character of the Session tab. Raises CharacterError, SettingError."""
    options = chat_options(app)
    return app.chats.create(options.character, options.name1)


def greeting(app: App) -> dict[str, str] | None:
    """The {"name", "greeting"} of the character that a new chat would have; None without one that can be read."""
    options = chat_options(app)
    try:
        who = app.characters.load(options.character) if options.character else None
    except PaddockError:
        return None
    return {"name": who.name, "greeting": fill_in(who.greeting, options.name1, who.name).strip()} if who else None


def template_of(app: App, model: str) -> str:
    """The chat template that the user chose for this model; "" means the model's own."""
    return str(app.settings.get("templates", {}).get(model, ""))


def set_template(app: App, model: str, template: str) -> None:
    """Use this chat template for the model from now on; "" goes back to its own."""
    kept = {**app.settings.get("templates", {}), model: template}
    app.settings.set("templates", {name: text for name, text in kept.items() if text} or None)
