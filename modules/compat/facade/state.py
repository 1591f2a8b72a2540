"""The state of text-generation-webui: the values of its page, in one dictionary, with the names that scripts use."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from modules.chat.hook_state import NO_CHARACTER, history_pairs, hook_state, preamble_for, preamble_from_state
from modules.chat.messages import ChatOptions
from modules.plugins.request_model import hook_model
from modules.protocol.errors import SettingError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import coerce, describe
from modules.worker.chat_template import CHATML

if TYPE_CHECKING:
    from modules.app import App

_LOG = logging.getLogger(__name__)

# Keys of its state that have no counterpart in Paddock, with their neutral values.
# text-generation-webui's `state`: the values of its page by their names, which scripts read and change.
State = dict[str, Any]

_UNUSED: dict[str, Any] = {
    "auto_max_new_tokens": False,
    "max_tokens_second": 0,
    "max_updates_second": 0,
    "prompt_lookup_num_tokens": 0,
    "static_cache": False,
    "enable_thinking": True,
    "reasoning_effort": "medium",
    "preserve_thinking": False,
    "enable_web_search": False,
    "user_bio": "",
    "start_with": "",
    "chat_style": "cai-chat",
    "chat-instruct_command": "<|prompt|>",
    "chat_generation_attempts": 1,
    "stop_at_newline": False,
    "instruction_template": "",
    "textbox": {"text": "", "files": []},
    "show_controls": True,
    "lora_menu": [],
}


def interface_state(app: App, chat_id: str = "") -> State:
    """Return the page's current state. `chat_id`: the chat whose history it contains, "" for none."""
    options = app.chat_preferences.options(chat_id)
    opening, _ = preamble_for(app.characters, options.character, options)
    history = history_pairs(app.chats.messages(chat_id)) if chat_id else {"internal": [], "visible": []}
    now = hook_model(app).state
    state = hook_state(chat_id, history, app.sampling.params(), options, opening, now)
    return completed({**state, "preset_menu": app.sampling.preset_name(), "model_menu": now.model or "None"})


def completed(state: State) -> State:
    """Return the dictionary with the missing keys of text-generation-webui."""
    for name, value in _UNUSED.items():
        state.setdefault(name, value)
    for name in ("instruction_template_str", "chat_template_str"):
        # The template for models that have none.
        state[name] = state.get(name) or CHATML
    return state


def params_of(state: Mapping[str, object], stopping_strings: object = None) -> SamplingParams:
    """Return the sampling parameters of a state. Invalid ones are logged and stay neutral."""
    values: dict[str, Any] = {}
    for entry in describe(SamplingParams):
        if entry.name in state:
            try:
                values[entry.name] = coerce(entry, state[entry.name])
            except SettingError as error:
                _LOG.warning("A script set what cannot be used. %s", error.message)
    stops = [texts_of(state.get("stop")), texts_of(stopping_strings), texts_of(state.get("custom_stopping_strings"))]
    values["stop"] = list(dict.fromkeys(text for found in stops for text in found))
    return SamplingParams(**values)


def texts_of(value: object) -> list[str]:
    """Return stopping strings from the forms that scripts use: a list, or its inside as text ('"\\\\n", "You:"')."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(f"[{value}]")
        except (SyntaxError, ValueError):
            value = [value]
    return [str(text) for text in value if text] if isinstance(value, Iterable) else []


def options_of(state: Mapping[str, object], options: ChatOptions, own_template: str) -> ChatOptions:
    """Return the prompt options of this state. `own_template`: the model's template."""
    instruct = state.get("mode", "instruct") == "instruct"
    template = str(state.get("instruction_template_str" if instruct else "chat_template_str") or "")
    return ChatOptions(
        template="" if template in (own_template, CHATML) else template,
        overflow=options.overflow,
        name1=str(state.get("name1") or options.name1),
        name2=str(state.get("name2") or options.name2),
    )


def system_of(app: App, state: Mapping[str, object]) -> str:
    """Return the system message of a state, by the same rule as in Paddock's own turns."""
    character = str(state.get("character_menu") or NO_CHARACTER)
    name = character if character in app.characters.names() else ""
    return preamble_from_state(state, preamble_for(app.characters, name, app.chat_preferences.options())[0]).system
