"""What the user chose on the page, as the rest of Paddock takes it. Checked on each read: the file may be edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.chat.messages import ChatOptions
from modules.protocol import schema
from modules.protocol.errors import SettingError
from modules.protocol.sampling import SamplingParams

if TYPE_CHECKING:
    from modules.app import App


def sampling(app: App) -> SamplingParams:
    """The parameters set on the page. Raises SettingError when the file holds a bad value."""
    return schema.build(SamplingParams, app.settings.get("sampling", {}))


def set_sampling(app: App, name: str, value: Any) -> SamplingParams:
    """Check one parameter and keep it; the others stay as they are, whoever changed them. Raises SettingError."""
    kept = {**app.settings.get("sampling", {}), name: value}
    return replace_sampling(app, schema.build(SamplingParams, kept))


def replace_sampling(app: App, params: SamplingParams) -> SamplingParams:
    """Keep all of `params`."""
    app.settings.set("sampling", schema.changed(params))
    return params


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


def template_of(app: App, model: str) -> str:
    """The chat template that the user chose for this model; "" means the model's own."""
    return str(app.settings.get("templates", {}).get(model, ""))


def set_template(app: App, model: str, template: str) -> None:
    """Use this chat template for the model from now on; "" goes back to its own."""
    kept = {**app.settings.get("templates", {}), model: template}
    app.settings.set("templates", {name: text for name, text in kept.items() if text} or None)
