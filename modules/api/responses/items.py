"""Turn the items of a response's input or output into messages of a chat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modules.api.media_parts import MediaPart
from modules.api.request_params import ONLY_TEXT
from modules.protocol.errors import PromptError, Unsupported

_TEXTS = ("input_text", "output_text", "text", "reasoning_text", "summary_text")
_MEDIA = ("input_file", "computer_screenshot")
_SHAPE = "'input' must be a text, or a list of messages, function calls and their outputs."


def item_messages(items: object) -> list[dict[str, Any]]:
    """Return the messages of a chat for a text or a list of items. Raises PromptError or Unsupported."""
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    if not isinstance(items, list):
        raise PromptError(_SHAPE)
    messages: list[dict[str, Any]] = []
    reasoning = ""
    for item in items:
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "message" and isinstance(item.get("role"), str):
            messages.append({"role": item["role"], "content": _content(item.get("content"))})
        elif kind == "function_call":
            _add_call(messages, item)
        elif kind == "function_call_output":
            messages.append(
                {"role": "tool", "tool_call_id": item.get("call_id"), "content": _content(item.get("output"))}
            )
        elif kind == "reasoning":
            reasoning += _text(item.get("content") or item.get("summary") or [])
            continue
        elif isinstance(kind, str) and kind != "message":
            raise Unsupported(f"Items of the type {kind[:100]!r} are not supported. Leave them out of 'input'.")
        else:
            raise PromptError(_SHAPE)
        if reasoning and messages[-1]["role"] == "assistant":
            messages[-1]["reasoning_content"] = reasoning
        reasoning = ""
    return messages


def _add_call(messages: list[dict[str, Any]], item: Mapping[str, Any]) -> None:
    """Add a call to the reply that it belongs to."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": ""})
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    call = {"id": item.get("call_id"), "type": "function", "function": function}
    messages[-1].setdefault("tool_calls", []).append(call)


def _content(content: object) -> object:
    if isinstance(content, list) and any(isinstance(part, MediaPart) for part in content):
        return [part if isinstance(part, MediaPart) else {"type": "text", "text": _text_of(part)} for part in content]
    return _text(content)


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Iterable) or isinstance(content, Mapping):
        raise PromptError("The content of a message must be a text, or a list of {type: input_text, text}.")
    return "\n".join(_text_of(part) for part in content)


def _text_of(part: object) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in _MEDIA:
        raise Unsupported(ONLY_TEXT)
    text = part.get("text") if isinstance(part, dict) and kind in _TEXTS else None
    if not isinstance(text, str):
        raise PromptError("Each part of a message must be {type: input_text, text}.")
    return text
