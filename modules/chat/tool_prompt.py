"""Put tools, calls and results into the messages of a chat as its template reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from modules.chat.tool_formats import takes_tools
from modules.families.message_content import content_text, replace_text

# A result begins so, where a template reads no tools.
RESULT_START = "<tool_response>"
_INTRODUCTION = (
    "You can call the functions below. To call one, write its name and its arguments as JSON, like this, and nothing "
    "after it:\n"
    '<tool_call>\n{"name": "the name of the function", "arguments": {"an argument": "its value"}}\n</tool_call>\n'
    "For several calls, write several of these. The results come in the next message. Call a function only if it "
    "helps. The functions, with the JSON schemas of their arguments:"
)


def prepare_messages(
    messages: Sequence[Mapping[str, object]], tools: Sequence[Mapping[str, object]], template: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return (the messages, the variables for the template that hold the tools).

    `tools`: each {"type": "function", "function": {"name", "description", "parameters"}}. A template that reads no
    tools gets them as text of the system message, and calls and results as text too.
    """
    if takes_tools(template):
        as_text = _wants_text(template)
        named = _with_names(messages)
        return [_with_calls(message, as_text) for message in named], {"tools": list(tools)} if tools else {}
    plain = [_plain(message) for message in messages]
    if not tools:
        return plain, {}
    lines = [json.dumps(tool["function"], ensure_ascii=False) for tool in tools]
    text = "\n".join([_INTRODUCTION, *lines])
    if plain and plain[0]["role"] == "system":
        first = {**plain[0], "content": f"{content_text(plain[0]['content'])}\n\n{text}".strip()}
        return [first, *plain[1:]], {}
    return [{"role": "system", "content": text}, *plain], {}


def _wants_text(template: str) -> bool:
    """Return True if a template joins a call's arguments to its text, so that they must be text already."""
    if re.search(r"arguments['\"]?\]?\s*\|\s*(?:tojson|items)|arguments['\"]?\]?\s+is\s", template):
        return False
    return re.search(r"\+\s*[\w.\[\]'\"]*arguments['\"]?\]?\s*(?:\+|-?[%}])", template) is not None


def _with_names(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the messages with the function's name in each result, which some templates write."""
    names = {call["id"]: call["function"]["name"] for message in messages for call in message.get("tool_calls") or ()}
    result = []
    for message in messages:
        name = names.get(message.get("tool_call_id")) if message["role"] == "tool" else None
        result.append({**message, "name": name} if name and not message.get("name") else message)
    return result


def _with_calls(message: Mapping[str, Any], as_text: bool) -> dict[str, Any]:
    """Return a message whose calls have their arguments as text or as objects."""
    calls = message.get("tool_calls")
    if not calls:
        return {key: value for key, value in message.items() if key != "tool_calls"}
    if as_text:
        return dict(message)
    changed = [
        {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
        for call in calls
    ]
    return {**message, "tool_calls": changed}


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as text: calls in tags, a result as the user's message."""
    if message["role"] == "tool":
        text = f"{RESULT_START}\n{content_text(message['content'])}\n</tool_response>"
        return {"role": "user", "content": replace_text(message["content"], text)}
    calls = message.get("tool_calls")
    if not calls:
        return {key: value for key, value in message.items() if key != "tool_calls"}
    lines = [text] if (text := content_text(message["content"])) else []
    for call in calls:
        name, arguments = json.dumps(call["function"]["name"]), call["function"]["arguments"]
        lines.append(f'<tool_call>\n{{"name": {name}, "arguments": {arguments}}}\n</tool_call>')
    return {"role": "assistant", "content": "\n".join(lines)}
