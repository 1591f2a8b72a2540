"""gr.Chatbot as it was: a list of [user, bot] pairs, where Gradio 6 has messages with roles."""

from __future__ import annotations

from typing import Any

import gradio as gr


def postprocess(self: Any, value: Any) -> Any:
    """Pairs become messages; messages stay."""
    if isinstance(value, list) and all(isinstance(pair, (list, tuple)) for pair in value):
        self._pairs = True
        roles = ("user", "assistant")
        value = [
            {"role": role, "content": str(text)}
            for pair in value
            for role, text in zip(roles, pair, strict=False)
            if text is not None
        ]
    elif value:
        self._pairs = False
    return gr.Chatbot.postprocess(self, value)


def preprocess(self: Any, payload: Any) -> Any:
    """Messages as the script wrote them: pairs, unless it gave messages."""
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
