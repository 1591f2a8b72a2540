"""What an empty page offers to begin with, and what "try again" under a failed reply does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.loading.lower_settings import lower_settings
from modules.plugins.failures import MessageFailed
from modules.protocol.errors import PaddockError

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
    if not state.model:
        raise PaddockError("No model was loaded. Choose one on the Model tab and press Load.")
    if lower:
        names = tuple(message.meta.get("lower") or ()) if message else ()
        spec = app.registry.get(state.loader)
        context = state.info.context if state.info else app.library.facts(state.model).context
        settings = lower_settings(spec, state.settings, names, context)
        app.models.load(state.model, state.loader, settings)
    elif state.phase != "ready":
        app.models.load(state.model, state.loader, state.settings)
    return app.chats.regenerate(chat_id, message_id, app.sampling.params(), app.chat_preferences.options(chat_id))
