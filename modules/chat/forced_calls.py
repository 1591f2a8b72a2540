"""JSON schemas that make a model call tools: its reply can be nothing else. The engines turn them into grammars."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from modules.plugins.tools.tool import Tool
from modules.protocol.errors import PromptError
from modules.protocol.json_schema import normalize_schema

# Calls at once in a forced reply.
LEAST_CALLS, MOST_CALLS = 1, 4


def call_schema(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a call of one tool. Raises PromptError if its parameters cannot be forced."""
    arguments = normalize_schema({"type": "object", **parameters})[0]
    properties = {"name": {"const": name}, "arguments": arguments}
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def forced_calls(tools: Sequence[Tool]) -> tuple[str, list[str]]:
    """Return (the JSON schema of a list of 1 to MOST_CALLS calls of these tools, sentences about those left out).

    The schema is "" if no tool can be forced.
    """
    calls, notes = [], []
    for tool in tools:
        try:
            calls.append(call_schema(tool.name, tool.parameters))
        except PromptError as error:
            notes.append(f"The model could not be made to call {tool.name}. {error.message}")
    if not calls:
        return "", notes
    schema = {"type": "array", "items": {"anyOf": calls}, "minItems": LEAST_CALLS, "maxItems": MOST_CALLS}
    return json.dumps(schema), notes
