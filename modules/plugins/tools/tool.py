"""A tool that models may call in a chat: what the model reads of it, and the function behind it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.protocol.errors import PaddockError

# Characters of a name, as chat templates and other programs' APIs allow them.
_OTHERS = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 64
_LONGEST_DESCRIPTION = 4_000
# Characters of all of a tool's parameters, as JSON.
_LONGEST_SCHEMA = 40_000


class ToolError(PaddockError):
    """A call of a tool failed. The model reads the sentence as the call's result."""

    code = "tool"


class ToolCancelled(ToolError):
    """The reply was stopped while the tool ran."""


# call(arguments, stopped) -> the text of the result. Raises ToolError or any PaddockError.
ToolFunction = Callable[[Mapping[str, object], threading.Event], str]


@dataclass(frozen=True)
class Tool:
    """`name`: what the model calls, unique in a chat. `key`: what the user's choices are stored by.

    `source`: where it comes from, such as "Paddock" or the name of an MCP server. `parameters`: a JSON schema of the
    arguments, an object. `seconds`: after so many, a call has failed.
    """

    name: str
    key: str
    source: str
    description: str
    call: ToolFunction
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    seconds: float = 60.0

    def declaration(self) -> dict[str, Any]:
        """Return the tool in the form of chat templates."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


def tool_name(text: str) -> str:
    """Return a text as the name of a tool."""
    return _OTHERS.sub("_", text).strip("_")[:_LONGEST_NAME] or "tool"


def checked_parameters(value: object) -> dict[str, object]:
    """Return the schema of a tool's parameters that comes from outside. Raises ValueError, with the end of a sentence.

    Templates and readers of calls need an object with objects in it, and nothing that is not JSON.
    """
    if not value:
        return {"type": "object", "properties": {}}
    if not isinstance(value, dict):
        raise ValueError("its parameters are no JSON schema of an object")
    try:
        text = json.dumps(value, allow_nan=False)
        schema: dict[str, object] = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("its parameters are not JSON") from None
    if len(text) > _LONGEST_SCHEMA:
        raise ValueError(f"its parameters have {len(text):,} characters, and {_LONGEST_SCHEMA:,} are the limit")
    properties = schema.get("properties", {})
    if schema.get("type", "object") != "object" or not isinstance(properties, dict):
        raise ValueError("its parameters are no JSON schema of an object")
    if not all(isinstance(entry, (dict, bool)) for entry in properties.values()):
        raise ValueError("one of its parameters has no JSON schema")
    known = {name: entry if isinstance(entry, dict) else {} for name, entry in properties.items()}
    return {**schema, "type": "object", "properties": known}


def checked_description(value: object) -> str:
    """Return the description of a tool that comes from outside, cut to what a prompt can hold."""
    return value[:_LONGEST_DESCRIPTION] if isinstance(value, str) else ""


def text_argument(arguments: Mapping[str, object], name: str) -> str:
    """Return an argument that must be a text with something in it. Raises ToolError."""
    value = arguments.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ToolError(f"The argument {name!r} is missing. Call the tool again with a text for it.")
    return value
