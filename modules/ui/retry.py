"""The questions of an empty chat, and what "Try again" under a failed reply does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.plugins.failures import MessageFailed

if TYPE_CHECKING:
    from modules.app import App

# An empty chat offers these questions. The demo model can answer them.
QUESTIONS = ("What is Paddock?", "How do I add a model?", "What is quantization?", "What does min_p do?")


def retry(app: App, chat_id: str, message_id: str, lower: bool) -> str:
    """Load the model again if it is not loaded, regenerate the reply, and return the new reply's id.

    `lower`: first lower the settings that the failure named. Blocks while the model loads. Raise PaddockError.
    """
    state = app.supervisor.state
    message = next((m for m in app.chats.messages(chat_id) if m.id == message_id), None)
    # The failure of an extension does not depend on the model, and some extensions answer without one.
    if message and message.meta.get("code") == MessageFailed.code:
        return _regenerate(app, chat_id, message_id)
    if not lower and app.chats.settings.get(chat_id).get("model"):
        return _regenerate(app, chat_id, message_id)
    names = tuple(message.meta.get("lower") or ()) if message and lower else ()
    if lower or state.phase != "ready":
        app.models.load_again(state, names)
    return _regenerate(app, chat_id, message_id)


def _regenerate(app: App, chat_id: str, message_id: str) -> str:
    preferences = app.chat_preferences
    return app.chats.regenerate(chat_id, message_id, preferences.params(chat_id), preferences.options(chat_id))
