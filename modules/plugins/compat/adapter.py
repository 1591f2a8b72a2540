"""From a script.py's functions to the hooks of Paddock: called by position, in whatever arity they were written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

_PLAIN = ("setup", "ui", "custom_css", "custom_js")


class ScriptPlugin:
    """A script as a plugin: has those hooks that the script has. `params`: the script's own dictionary."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        params = getattr(module, "params", None)
        self.params: dict[str, Any] = params if isinstance(params, dict) else {}
        for hook in (*_PLAIN, *_CALLS):
            function = getattr(module, hook, None)
            if callable(function):
                setattr(self, hook, _CALLS[hook](function) if hook in _CALLS else _plain(function))


def by_position(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """Call a script's function with `given`, its arguments in their usual order.

    Parameters that bear a usual name get that argument wherever they stand; the others take what is left, in order.
    `seed`, which text-generation-webui gave up, is -1.
    """
    parameters = list(inspect.signature(function).parameters.values())
    names = {parameter.name for parameter in parameters}
    rest = {name: value for name, value in given.items() if name not in names}
    values: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            values += rest.values()
            rest = {}
        elif parameter.kind is parameter.VAR_KEYWORD:
            named |= rest
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.name in given:
                named[parameter.name] = given[parameter.name]
        elif parameter.name in given:
            values.append(given[parameter.name])
        elif parameter.name == "seed":
            values.append(-1)
        elif rest:
            values.append(rest.pop(next(iter(rest))))
        elif parameter.default is not parameter.empty:
            values.append(parameter.default)
    return function(*values, **named)


def _plain(function: Callable[..., Any]) -> Callable[[], Any]:
    return lambda: function()


def _history(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda history: by_position(function, {"history": history})


def _state(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda state: by_position(function, {"state": state})


def _typed(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(text: str, visible_text: str, state: dict[str, Any]) -> Any:
        return by_position(function, {"text": text, "visible_text": visible_text, "state": state})

    return call


def _string(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(string: str, state: dict[str, Any], is_chat: bool) -> Any:
        return by_position(function, {"string": string, "state": state, "is_chat": is_chat})

    return call


def _prefix(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda string, state: by_position(function, {"string": string, "state": state})


def _prompt(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(user_input: str, state: dict[str, Any], history: dict[str, Any], is_continue: bool) -> Any:
        given = {"user_input": user_input, "state": state, "history": history, "_continue": is_continue}
        return by_position(function, given)

    return call


def _length(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda prompt: by_position(function, {"prompt": prompt})


def _reply(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(
        question: str, original_question: str, state: dict[str, Any], stopping_strings: list[str], is_chat: bool
    ) -> str | Iterator[str] | None:
        given: dict[str, Any] = {"question": question, "original_question": original_question, "state": state}
        answer = by_position(function, {**given, "stopping_strings": stopping_strings, "is_chat": is_chat})
        return iter(answer) if isinstance(answer, Iterable) and not isinstance(answer, str) else answer

    return call


_CALLS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "history_modifier": _history,
    "state_modifier": _state,
    "chat_input_modifier": _typed,
    "input_modifier": _string,
    "output_modifier": _string,
    "bot_prefix_modifier": _prefix,
    "custom_generate_chat_prompt": _prompt,
    "custom_tokenized_length": _length,
    "custom_generate_reply": _reply,
}
