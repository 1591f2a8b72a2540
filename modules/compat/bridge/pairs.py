"""gr.Chatbot with a list of [user, bot] pairs, as in older versions. Gradio 6 uses messages with roles."""

from __future__ import annotations

import functools
from typing import Any

import gradio as gr

_ROLES = ("user", "assistant")


def postprocess(self: Any, value: Any) -> object:
    """Convert pairs to messages. Messages are unchanged."""
    if isinstance(value, list) and all(isinstance(pair, (list, tuple)) for pair in value):
        self._pairs = True
        found = [
            ((row, half), {"role": role, "content": str(text)})
            for row, pair in enumerate(value)
            for half, (role, text) in enumerate(zip(_ROLES, pair, strict=False))
            if text is not None
        ]
        # The position of each message in the pairs. A half that is None has no message.
        self._places = [place for place, _ in found]
        value = [message for _, message in found]
    elif value:
        self._pairs = False
    return gr.Chatbot.postprocess(self, value)


@functools.cache
def event_class(real: type[Any]) -> type[object]:
    """Return a class of event data whose `index` is (row, 0 or 1) if the event is from a chatbot of pairs."""

    def init(self: Any, target: Any, data: Any) -> None:
        index = data.get("index") if isinstance(data, dict) else None
        if isinstance(index, int) and isinstance(target, gr.Chatbot) and getattr(target, "_pairs", False):
            places = getattr(target, "_places", [])
            place = places[index] if 0 <= index < len(places) else divmod(index, 2)
            data = {**data, "index": place}
        real.__init__(self, target, data)

    return type(real.__name__, (real,), {"__init__": init, "__doc__": real.__doc__, "__module__": __name__})


def preprocess(self: Any, payload: Any) -> object:
    """Return messages in the script's form: pairs, unless it passed messages."""
    messages = gr.Chatbot.preprocess(self, payload)
    if not self._pairs:
        return messages
    found: list[list[Any]] = []
    for message in messages or ():
        content = message["content"]
        text = content if isinstance(content, str) else "".join(str(part.get("text") or "") for part in content)
        if message["role"] == "user" or not found or found[-1][1] is not None:
            found.append([None, None])
        found[-1][0 if message["role"] == "user" else 1] = text
    return found
