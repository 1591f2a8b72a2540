"""What an empty page offers to begin with, and what "try again" under a failed reply does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.plugins.failures import MessageFailed

if TYPE_CHECKING:
    from modules.app import App

# The demo model answers these; an empty chat offers them.
QUESTIONS = ("What is Paddock?", "How do I add a model?", "What is quantization?", "What does min_p do?")


def retry(app: App, chat_id: str, message_id: str, lower: bool) -> str:
    """Load the model again where it is gone, with the settings that the failure named lowered if `lower`, and write the
    reply anew. Blocking. Returns the new reply's id. Raises PaddockError."""
    state = app.supervisor.state
    message = next((m for m in app.chats.messages(chat_id) if m.id == message_id), None)
    # What an extension failed with is no matter of the model, and some answer without one.
    if message and message.meta.get("code") == MessageFailed.code:
        return app.chats.regenerate(chat_id, message_id, app.sampling.params(), app.chat_preferences.options(chat_id))
    names = tuple(message.meta.get("lower") or ()) if message and lower else ()
    if lower or state.phase != "ready":
        app.models.load_again(state, names)
    return app.chats.regenerate(chat_id, message_id, app.sampling.params(), app.chat_preferences.options(chat_id))
