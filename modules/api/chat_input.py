"""From a client's chat to what its template gets: messages with tools and calls, and the template's variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modules.api.request_params import RequestOptions, request_messages
from modules.chat.tool_prompt import prepare_messages
from modules.protocol.errors import SettingError

# Variables that the worker sets itself.
_OWN = frozenset({"messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "raise_exception"})
_SHORTHAND = ("enable_thinking", "reasoning_effort")


@dataclass(frozen=True)
class ChatInput:
    """The messages and variables for a chat template, and sentences about what it does not read."""

    messages: list[dict[str, Any]]
    variables: dict[str, Any]
    warnings: tuple[str, ...] = ()


def read_chat(body: Mapping[str, Any], options: RequestOptions, template: str) -> ChatInput:
    """Return the chat of a request. Raises PromptError or SettingError."""
    messages, tools = prepare_messages(request_messages(body), options.tools.tools, template)
    variables, warnings = _variables(body, template)
    return ChatInput(messages, {**variables, **tools}, warnings)


def _variables(body: Mapping[str, Any], template: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the variables that a request sets, and sentences about those that the template does not read."""
    given = body.get("chat_template_kwargs")
    if not isinstance(given, (dict, type(None))):
        raise SettingError("'chat_template_kwargs' must be an object: names and values for the chat template.")
    if own := sorted(_OWN & set(given or {})):
        raise SettingError(f"'chat_template_kwargs' cannot set {', '.join(own)}. Send the fields of the API instead.")
    if not isinstance(body.get("enable_thinking"), (bool, type(None))):
        raise SettingError("'enable_thinking' must be true or false, without quotes.")
    effort = body.get("reasoning_effort")
    if not isinstance(effort, (str, type(None))):
        raise SettingError("'reasoning_effort' must be a text, such as low, medium or high.")
    found = {name: body[name] for name in _SHORTHAND if body.get(name) is not None}
    if effort in ("none", "minimal") and not _reads(template, "reasoning_effort"):
        del found["reasoning_effort"]
        found.setdefault("enable_thinking", False)
    unread = [name for name in found if not _reads(template, name)]
    warnings = tuple(f"The model's chat template does not read {name}; it was ignored." for name in unread)
    return {**found, **(given or {})}, warnings


def _reads(template: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", template) is not None
