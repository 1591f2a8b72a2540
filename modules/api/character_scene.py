"""Put a character's lorebook, system prompt, note and post-history instructions into a client's chat, as chats do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modules.api.chat_modes import ChatMode
from modules.app import App
from modules.chat.messages import ChatOptions, Message
from modules.chat.parts import plain
from modules.chat.roleplay.scene import Scene, fill_outlets
from modules.chat.roleplay.scene_composer import SceneComposer, SceneRequest
from modules.families.message_content import content_text
from modules.runtime.loaded_model import LoadedModel

_SYSTEM = ("system", "developer")


def begin_chat(
    app: App, model: LoadedModel, mode: ChatMode, messages: Sequence[Mapping[str, Any]], continues: bool
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return (the messages of a chat with a character, sentences about what was left out).

    First comes one system message: lorebook entries, the context, and the client's own. A chat that begins gets the
    greeting. `continues`: the last message is the beginning of the reply. Client's texts stay as they are.
    """
    system = [content_text(one["content"]) for one in messages if one["role"] in _SYSTEM]
    rest = [dict(one) for one in messages if one["role"] not in _SYSTEM]
    if mode.greeting and not any(one["role"] == "assistant" for one in rest):
        rest.insert(0, {"role": "assistant", "content": mode.greeting})
    scene = _scene(app, model, mode, rest)
    texts = (scene.before, fill_outlets(mode.context, scene.outlets), scene.after, *system)
    first = {"role": "system", "content": "\n\n".join(text for text in texts if text)}
    placed = scene.place(_path(rest), continues)
    inserted = [{"role": one.role, "content": one.text} if one.id == "" else rest[int(one.id)] for one in placed]
    return [first, *inserted], scene.notes


def _scene(app: App, model: LoadedModel, mode: ChatMode, messages: Sequence[Mapping[str, Any]]) -> Scene:
    def count(text: str) -> int:
        return len(model.tokenize(text, False))

    options = ChatOptions(name1=mode.name1, name2=mode.name2, persona=mode.user_bio, lorebooks=mode.lorebooks)
    request = SceneRequest("", _path(messages), options, mode.character, model.loaded().context, name=mode.name2)
    return SceneComposer(app.characters, app.chats.lorebooks, count).compose(request)


def _path(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return the messages as those of a chat, with their places as ids."""
    return [
        Message(str(place), None, one["role"], plain(content_text(one["content"])), 0.0)
        for place, one in enumerate(messages)
    ]
