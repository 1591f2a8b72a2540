"""Read a body of /v1/responses, and return the body of a chat completion that asks for the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modules.api.body_fields import (
    MOST_LENGTH,
    check_kinds,
    flag_field,
    names_field,
    object_field,
    text_field,
    whole_field,
)
from modules.api.responses.items import item_messages
from modules.api.responses.store import ResponseStore
from modules.api.token_logprobs import MOST_TOP
from modules.protocol.errors import SettingError, Unsupported

# Fields that this module reads, or that change nothing here.
_READ = frozenset(
    {
        "input",
        "instructions",
        "max_output_tokens",
        "tools",
        "tool_choice",
        "text",
        "reasoning",
        "previous_response_id",
        "store",
        "metadata",
        "truncation",
        "include",
        "top_logprobs",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "max_tool_calls",
    }
)
# Fields that change nothing here.
_KINDS = {
    "metadata": dict,
    "service_tier": str,
    "safety_identifier": str,
    "prompt_cache_key": str,
    "prompt_cache_retention": str,
    "max_tool_calls": int,
    "background": bool,
}
_LOGPROBS = "message.output_text.logprobs"


@dataclass(frozen=True)
class ResponseRequest:
    """`chat`: the body of the chat completion; `messages`: its messages without `instructions`; `body`: the client's;
    `store`: the response is kept; `owner`: the account that asks, or ""."""

    chat: dict[str, object]
    messages: list[dict[str, object]]
    body: Mapping[str, object]
    store: bool
    owner: str


def read_response_request(body: Mapping[str, object], stored: ResponseStore, owner: str) -> ResponseRequest:
    """Return what a client asks for. Raises SettingError, PromptError, Unsupported or ResponseNotFound."""
    check_kinds(body, _KINDS)
    store = flag_field(body, "store", True)
    if body.get("messages") is not None:
        raise SettingError("A response has no 'messages'. Send them as 'input'.")
    if body.get("prompt") is not None:
        raise Unsupported("Prompts that are stored on the server are not supported. Send 'input' instead of 'prompt'.")
    previous = body.get("previous_response_id")
    earlier = stored.get(previous, owner).messages if previous is not None else []
    messages = [*earlier, *item_messages(body.get("input"))]
    chat = {name: value for name, value in body.items() if name not in _READ}
    instructions = text_field(body, "instructions", "")
    chat["messages"] = [*([{"role": "system", "content": instructions}] if instructions else []), *messages]
    if (most := whole_field(body, "max_output_tokens", 0, 1, MOST_LENGTH)) > 0:
        chat["max_tokens"] = most
    if (effort := object_field(body, "reasoning").get("effort")) is not None:
        chat["reasoning_effort"] = effort
    chat |= _tools(body) | _format(body) | _logprobs(body)
    if body.get("truncation") not in (None, "auto", "disabled"):
        raise SettingError("'truncation' must be auto or disabled.")
    if body.get("truncation") == "disabled":
        chat["truncate"] = False
    return ResponseRequest(chat, messages, body, store, owner)


def _tools(body: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    tools = [] if body.get("tools") is None else body["tools"]
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise SettingError('\'tools\' must be a list of {"type": "function", "name", "description", "parameters"}.')
    if tools:
        found["tools"] = [
            {"type": tool.get("type"), "function": {key: tool[key] for key in tool if key != "type"}} for tool in tools
        ]
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function":
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    return found if choice is None else {**found, "tool_choice": choice}


def _format(body: Mapping[str, object]) -> dict[str, object]:
    """Return the format of the answer: `text.format`, whose schema stands beside its type."""
    wanted = object_field(body, "text").get("format")
    if wanted is None:
        return {}
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        wanted = {"type": "json_schema", "json_schema": {key: wanted[key] for key in wanted if key != "type"}}
    return {"response_format": wanted}


def _logprobs(body: Mapping[str, object]) -> dict[str, object]:
    include = [] if body.get("include") is None else names_field(body, "include")
    top = whole_field(body, "top_logprobs", 0, 0, MOST_TOP)
    return {"logprobs": True, "top_logprobs": top} if top or _LOGPROBS in include else {}
