"""Read a body of Anthropic's /v1/messages, and return the body of a chat completion that asks for the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.api.anthropic.content import message_turns, text_of_parts
from modules.api.body_fields import MOST_LENGTH, check_kinds, flag_field, names_field, object_field, whole_field
from modules.api.request_params import CONTINUE_FIELDS
from modules.protocol.errors import PromptError, SettingError, Unsupported

# Fields that this module reads, or that change nothing here.
_READ = frozenset(
    {
        "system",
        "messages",
        "tools",
        "tool_choice",
        "stop_sequences",
        "thinking",
        "output_config",
        "output_format",
        "metadata",
        "service_tier",
        "betas",
        "cache_control",
        "context_management",
        "inference_geo",
        "speed",
    }
)
# Fields that change nothing here.
_KINDS = {
    "metadata": dict,
    "service_tier": str,
    "betas": list,
    "cache_control": dict,
    "context_management": dict,
    "inference_geo": str,
    "speed": str,
}
# Fields of OpenAI's API that Anthropic's answer has no place for.
_ANSWERS = ("n", "best_of", "logprobs", "top_logprobs")
_UNSUPPORTED = {"container": "code that the server runs", "mcp_servers": "tools that the server calls"}
_THINKING = {"enabled": True, "adaptive": True, "disabled": False}
_TOOL = 'Each tool must be {"name", "description", "input_schema"}.'


def chat_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body for a chat completion. Fields that are not Anthropic's stay, such as sampling parameters.

    Raises SettingError, PromptError or Unsupported.
    """
    for name, feature in _UNSUPPORTED.items():
        if body.get(name):
            raise Unsupported(f"This server does not support {feature}. Leave {name!r} out of the request.")
    for name in _ANSWERS:
        if body.get(name) is not None:
            raise Unsupported(f"{name!r} is not a field of Anthropic's API. Leave it out, or ask /v1/chat/completions.")
    check_kinds(body, _KINDS)
    whole_field(body, "max_tokens", 1, 1, MOST_LENGTH)
    chat = {name: value for name, value in body.items() if name not in _READ}
    chat["messages"] = _messages(body)
    asked = [flag_field(body, name) for name in CONTINUE_FIELDS]
    chat["continue_"] = any(asked) or chat["messages"][-1]["role"] == "assistant"
    chat |= _tools(body) | _thinking(body.get("thinking")) | _output(body)
    if body.get("stop_sequences") is not None:
        chat["stop"] = names_field(body, "stop_sequences")
    return chat


def _messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise PromptError("'messages' must be a list of {role, content} with at least one message.")
    turns = [turn for message in messages for turn in message_turns(message)]
    system = text_of_parts("" if body.get("system") is None else body["system"], "system")
    return [*([{"role": "system", "content": system}] if system else []), *turns]


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    tools, found = [] if body.get("tools") is None else body["tools"], dict[str, Any]()
    if not isinstance(tools, list):
        raise SettingError(f"'tools' must be a list. {_TOOL}")
    if tools:
        found["tools"] = [_tool(tool) for tool in tools]
    choice = body.get("tool_choice")
    if choice is None:
        return found
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "tool":
        found["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif kind in ("auto", "any", "none"):
        found["tool_choice"] = "required" if kind == "any" else kind
    else:
        raise SettingError('\'tool_choice\' must be {"type": "auto"}, "any", "none", or {"type": "tool", "name"}.')
    if (alone := choice.get("disable_parallel_tool_use")) is not None:
        if not isinstance(alone, bool):
            raise SettingError("'disable_parallel_tool_use' must be true or false, without quotes.")
        found["parallel_tool_calls"] = not alone
    return found


def _tool(tool: object) -> dict[str, object]:
    if not isinstance(tool, dict):
        raise SettingError(_TOOL)
    if tool.get("type") not in (None, "custom"):
        raise Unsupported(
            f"This server does not run tools of Anthropic's, such as {str(tool['type'])[:100]!r}. Leave it out."
        )
    function = {"name": tool.get("name"), "parameters": tool.get("input_schema")}
    if tool.get("description") is not None:
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _thinking(value: object) -> dict[str, object]:
    if value is None:
        return {}
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in _THINKING:
        raise SettingError('\'thinking\' must be {"type": "enabled"}, "adaptive" or "disabled".')
    return {"enable_thinking": _THINKING[kind]}


def _output(body: Mapping[str, object]) -> dict[str, object]:
    """Return the fields for `output_config`, and for `output_format`, its older name."""
    config = object_field(body, "output_config")
    found: dict[str, object] = {}
    if config.get("effort") is not None:
        found["reasoning_effort"] = config["effort"]
    if (wanted := config.get("format") or body.get("output_format")) is not None:
        if not isinstance(wanted, dict) or wanted.get("type") != "json_schema" or "schema" not in wanted:
            raise SettingError('The format of the output must be {"type": "json_schema", "schema": …}.')
        found["response_format"] = {"type": "json_schema", "json_schema": {"schema": wanted["schema"]}}
    return found
