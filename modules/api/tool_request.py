"""Read what a client says about tools: `tools`, `tool_choice`, `parallel_tool_calls`, and calls in earlier messages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.api.response_format import ResponseFormat
from modules.chat.forced_calls import call_schema
from modules.protocol.errors import PromptError, SettingError, Unsupported
from modules.protocol.loader_spec import LoaderSpec

TOOL_FIELDS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
_MOST_TOOLS = 256
_NAME = re.compile(r"[\w.\-]{1,128}")
_SHAPE = 'Each tool must be {"type": "function", "function": {"name", "description", "parameters"}}.'
_CHOICES = '\'tool_choice\' must be "none", "auto", "required" or {"type": "function", "function": {"name"}}.'


@dataclass(frozen=True)
class ToolRequest:
    """`tools`: those that the model sees. `forced`: names of the tools of which it must call one. `several`: a reply
    may have more than one call. `template`: the chat template that shows the tools, None for the model's."""

    tools: tuple[dict[str, Any], ...] = ()
    forced: tuple[str, ...] = ()
    several: bool = True
    schemas: dict[str, dict[str, Any]] = field(default_factory=dict)
    template: str | None = None

    def force(self, wanted: ResponseFormat, spec: LoaderSpec) -> ResponseFormat:
        """Return the format that makes the model call a tool, if it must; or `wanted`, which then leaves it the
        choice between a call and that format. Raises SettingError or Unsupported."""
        schema = wanted.values.get("json_schema")
        if not self.forced and not (self.tools and schema):
            return wanted
        if "json_schema" not in spec.samplers:
            raise Unsupported(
                f"{spec.title} cannot be made to call a tool. Send tool_choice 'auto', or load the model with another "
                "loader."
            )
        calls = [self._call(name) for name in self.forced or self.schemas]
        other = [json.loads(schema)] if schema and not self.forced else []
        return ResponseFormat({"json_schema": json.dumps({"anyOf": [*calls, *other]})}, wanted.warnings)

    def _call(self, name: str) -> dict[str, object]:
        """Return the schema of a call of one tool."""
        try:
            return call_schema(name, self.schemas[name])
        except PromptError as error:
            raise SettingError(f"The parameters of the tool {name!r} cannot be forced. {error.message}") from None


def read_tools(body: Mapping[str, Any]) -> ToolRequest:
    """Return what a request says about tools. Raises SettingError or Unsupported."""
    given = [] if body.get("tools") is None else body["tools"]
    choice, several = body.get("tool_choice"), body.get("parallel_tool_calls")
    if not isinstance(several, (bool, type(None))):
        raise SettingError("'parallel_tool_calls' must be true or false, without quotes.")
    if not isinstance(given, list) or len(given) > _MOST_TOOLS:
        raise SettingError(f"'tools' must be a list of at most {_MOST_TOOLS} tools. {_SHAPE}")
    tools = [_tool(entry) for entry in given]
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
    if len(schemas) < len(tools):
        raise SettingError("Two tools have the same name. Give each its own.")
    named = _named(choice)
    if named is None and choice not in (None, "none", "auto", "required"):
        raise SettingError(_CHOICES)
    if named is not None and named not in schemas:
        raise SettingError(f"'tool_choice' names {named[:100]!r}, which is not in 'tools'. {_CHOICES}")
    if choice == "required" and not tools:
        raise SettingError("'tool_choice' is \"required\", but there are no 'tools'. Send some, or leave it out.")
    if tools and "messages" not in body:
        raise Unsupported("Only chats have tools. Send 'messages' to /v1/chat/completions, or leave 'tools' out.")
    if choice == "none":
        return ToolRequest()
    forced = (named,) if named is not None else tuple(schemas) if choice == "required" else ()
    return ToolRequest(tuple(tools), forced, several is not False, schemas)


def _named(choice: object) -> str | None:
    function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def _tool(entry: Any) -> dict[str, Any]:
    if isinstance(entry, dict) and isinstance(kind := entry.get("type"), str) and kind != "function":
        raise Unsupported(f"Only tools of the type function are supported, not {kind[:100]!r}. Leave it out.")
    function = entry.get("function") if isinstance(entry, dict) else None
    if not isinstance(function, dict) or not isinstance(name := function.get("name"), str):
        raise SettingError(_SHAPE)
    if not _NAME.fullmatch(name):
        raise SettingError(
            f"A tool cannot be named {name[:100]!r}. Use letters, digits, dots, hyphens and underscores."
        )
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(parameters, dict) or not isinstance(function.get("description") or "", str):
        raise SettingError(f"The tool {name!r} has a description or parameters of the wrong kind. {_SHAPE}")
    whole = {**function, "description": function.get("description") or "", "parameters": parameters}
    return {"type": "function", "function": whole}


def read_calls(message: Mapping[str, object]) -> dict[str, object]:
    """Return the fields about tools of one message, checked: `tool_calls` and `tool_call_id`. Raises PromptError."""
    found: dict[str, object] = {}
    if (calls := message.get("tool_calls")) and message["role"] == "assistant":
        if not isinstance(calls, list):
            raise PromptError("'tool_calls' must be a list of {id, type: function, function: {name, arguments}}.")
        found["tool_calls"] = [_earlier_call(call) for call in calls]
    if (answered := message.get("tool_call_id")) is not None:
        if not isinstance(answered, str):
            raise PromptError("'tool_call_id' must be a text: the id of the call that the message answers.")
        found["tool_call_id"] = answered
    return found


def _earlier_call(call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise PromptError("Each of 'tool_calls' must be {id, type: function, function: {name, arguments}}.")
    arguments = function.get("arguments") or "{}"
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
        if not isinstance(value, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise PromptError(
            f"The arguments of an earlier call of {function['name'][:100]!r} are not a JSON object. Correct them."
        ) from None
    text = json.dumps(value, ensure_ascii=False)
    return {
        "id": str(call.get("id") or ""),
        "type": "function",
        "function": {"name": function["name"], "arguments": text},
    }
