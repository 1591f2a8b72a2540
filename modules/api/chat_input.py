"""From a client's chat to what its template gets: messages with tools and calls, and the template's variables.

In text-generation-webui's modes with a character, the whole chat is a dialogue: the model continues its text (`chat`),
or gets it in an instruction (`chat-instruct`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from modules.api.character_scene import begin_chat
from modules.api.chat_modes import CHAT_INSTRUCT, read_mode
from modules.api.request_params import RequestOptions, request_messages
from modules.app import App
from modules.chat.tool_formats import takes_tools
from modules.chat.tool_prompt import RESULT_START, prepare_messages
from modules.families.message_content import content_text, join_contents, media_parts
from modules.protocol.commands import Generate
from modules.protocol.errors import SettingError
from modules.protocol.sampling import SamplingParams
from modules.runtime.loaded_model import LoadedModel

# Variables that the worker sets itself.
_OWN = frozenset({"messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "raise_exception"})
_SHORTHAND = ("enable_thinking", "reasoning_effort")
_SYSTEM = ("system", "developer")


@dataclass(frozen=True)
class ChatInput:
    """The messages and variables for a chat template, and sentences about what it does not read.

    `template`: instead of the model's; `tool_template`: the one that shows the tools, "" if none does;
    `reply_prefix`: what the reply is made to begin with; `stop`: texts that end it.
    """

    messages: list[dict[str, Any]]
    variables: dict[str, object]
    warnings: tuple[str, ...] = ()
    template: str = ""
    tool_template: str = ""
    reply_prefix: str = ""
    stop: tuple[str, ...] = ()

    def command(self, continue_last: bool) -> Generate:
        """Return the command for the reply, without an id and parameters. `continue_last`: as in Generate."""
        return Generate(
            "",
            messages=self.messages,
            template=self.template,
            continue_last=continue_last,
            variables=self.variables,
        )


def may_be_cut(chat: Generate, params: SamplingParams) -> Generate:
    """Return the command, so that a chat that is too long loses its oldest turns where `params` allow it.

    The worker leaves out the same ones for each request that sends the same history, so that its cache is of use.
    """
    if not params.truncate:
        return chat
    first = takewhile(lambda message: message["role"] in _SYSTEM, chat.messages)
    return replace(chat, overflow="cut", keep_first=len(list(first)))


def read_chat(
    app: App, model: LoadedModel, body: Mapping[str, Any], options: RequestOptions, template: str
) -> ChatInput:
    """Return the chat of a request for `model`, which has this template. Raises PaddockError."""
    mode = read_mode(app, body)
    used = mode.template or template
    variables, warnings = _variables(body, used)
    messages, notes = request_messages(body), tuple[str, ...]()
    if mode.plays:
        messages, notes = begin_chat(app, model, mode, messages, options.continue_last)
    # The template of a dialogue shows no tools.
    showing = "" if mode.plays or not takes_tools(used) else used
    messages, tools = prepare_messages(messages, options.tools.tools, showing)
    stop = (RESULT_START,) if options.tools.tools and not showing and not options.tools.forced else ()
    found = ChatInput(
        messages, {**variables, **tools}, (*mode.warnings, *warnings, *notes), mode.template, showing, stop=stop
    )
    if not mode.plays:
        return found
    name = "" if options.continue_last else f"{mode.name2}:"
    if mode.mode == CHAT_INSTRUCT:
        # The dialogue becomes one text. Its images and sounds come before it.
        media = media_parts(messages)
        texts = [{**message, "content": content_text(message["content"])} for message in messages]
        dialogue = model.chat_prompt(texts, mode.dialogue, options.continue_last, mode.names).prompt
        content = join_contents(media, mode.instruction(dialogue)) if media else mode.instruction(dialogue)
        found = replace(found, messages=[{"role": "user", "content": content}])
    else:
        found = replace(found, template=mode.dialogue, variables={**variables, **mode.names})
    return replace(found, reply_prefix=name, stop=(*found.stop, *mode.stop))


def _variables(body: Mapping[str, object], template: str) -> tuple[dict[str, object], tuple[str, ...]]:
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
