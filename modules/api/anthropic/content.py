"""Turn messages with Anthropic's content blocks into messages as in OpenAI's API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modules.api.media_parts import MediaPart
from modules.api.request_params import ONLY_TEXT
from modules.protocol.errors import PromptError, Unsupported

_ROLES = ("user", "assistant", "system")
_BLOCK = "Each part of a message's 'content' must be an object with a 'type'."
_KINDS = "text, image, thinking, tool_use and tool_result"


def message_turns(message: object) -> list[dict[str, object]]:
    """Return the messages for one of Anthropic's: results of tools come before the user's text.

    Raises PromptError or Unsupported.
    """
    if not isinstance(message, dict) or not isinstance(role := message.get("role"), str):
        raise PromptError("Each message must be an object with a 'role' and a 'content'.")
    if role not in _ROLES:
        raise PromptError(f"A message's 'role' cannot be {role[:100]!r}. The roles are: {', '.join(_ROLES)}.")
    content = message.get("content")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    if not isinstance(content, list):
        raise PromptError("A message's 'content' must be a text or a list of parts.")
    if role == "assistant":
        return [_reply(content)]
    results = [_result(block) for block in content if _kind(block) == "tool_result"]
    rest = [block for block in content if _kind(block) != "tool_result"]
    return [*results, *([{"role": role, "content": content_of_parts(rest)}] if rest or not results else [])]


def content_of_parts(blocks: list[object]) -> object:
    """Return texts and images as the content of a message. Raises PromptError or Unsupported."""
    if not any(isinstance(block, MediaPart) for block in blocks):
        return text_of_parts(blocks, "content")
    return [block if isinstance(block, MediaPart) else {"type": "text", "text": _text(block)} for block in blocks]


def text_of_parts(value: object, field: str) -> str:
    """Return a text, or the joined texts of parts. Raises PromptError, or Unsupported for other parts."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise PromptError(f"{field!r} must be a text or a list of parts.")
    return "\n".join(_text(block) for block in value)


def _text(block: Any) -> str:
    kind = _kind(block)
    if kind == "document":
        source = block.get("source")
        block = {"text": source.get("data")} if isinstance(source, dict) and source.get("type") == "text" else {}
        if not block:
            raise Unsupported("This server reads documents only as text. Send their text in a part of the type text.")
    elif kind == "image":
        raise Unsupported("Images belong to messages of the user and to results of tools. Move this one there.")
    elif kind in ("file", "audio", "video"):
        raise Unsupported(ONLY_TEXT)
    elif kind != "text":
        raise Unsupported(f"A part of the type {kind[:100]!r} cannot be read here. Use {_KINDS}.")
    if not isinstance(text := block.get("text"), str):
        raise PromptError("A part of the type text must have a 'text'.")
    return text


def _reply(content: list[Any]) -> dict[str, Any]:
    """Return an earlier reply: its text, its reasoning and its calls."""
    texts, thoughts, calls = list[str](), list[str](), list[dict[str, Any]]()
    for block in content:
        kind = _kind(block)
        if kind == "thinking":
            thoughts.append(str(block.get("thinking") or ""))
        elif kind == "tool_use":
            calls.append(_call(block))
        elif kind != "redacted_thinking":
            texts.append(_text(block))
    found: dict[str, Any] = {"role": "assistant", "content": "".join(texts)}
    if reasoning := "".join(thoughts):
        found["reasoning_content"] = reasoning
    return {**found, "tool_calls": calls} if calls else found


def _call(block: Mapping[str, object]) -> dict[str, object]:
    name, given = block.get("name"), block.get("input")
    if not isinstance(name, str) or not isinstance(given, dict):
        raise PromptError("A part of the type tool_use must have an 'id', a 'name' and an 'input', which is an object.")
    function = {"name": name, "arguments": json.dumps(given, ensure_ascii=False)}
    return {"id": str(block.get("id") or ""), "type": "function", "function": function}


def _result(block: Mapping[str, object]) -> dict[str, object]:
    id = block.get("tool_use_id")
    if not isinstance(id, str):
        raise PromptError("A part of the type tool_result must have a 'tool_use_id': the id of the call.")
    given = block.get("content") or ""
    if isinstance(given, list) and any(isinstance(part, MediaPart) for part in given):
        return {"role": "tool", "tool_call_id": id, "content": content_of_parts(given)}
    text = text_of_parts(given, "content")
    return {"role": "tool", "tool_call_id": id, "content": f"Error: {text}" if block.get("is_error") else text}


def _kind(block: object) -> str:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str):
        raise PromptError(_BLOCK)
    return kind
