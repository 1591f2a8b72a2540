"""Adapts a script.py's functions to Paddock's hooks. They are called by position, with any known signature."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from modules.compat.facade.state import State, completed, texts_of
from modules.compat.script_params import Params
from modules.plugins import hooks
from modules.plugins.extension_services import HttpMiddleware

# Hook -> its arguments in Paddock, with their usual names in scripts, in the usual order.
_ARGUMENTS: dict[str, dict[str, str]] = {
    "setup": {},
    "ui": {},
    "custom_css": {},
    "custom_js": {},
    "history_modifier": {"history": "history"},
    "state_modifier": {"state": "state"},
    "chat_input_modifier": {"text": "text", "visible_text": "visible_text", "state": "state"},
    "input_modifier": {"string": "string", "state": "state", "is_chat": "is_chat"},
    "output_modifier": {"string": "string", "state": "state", "is_chat": "is_chat"},
    "bot_prefix_modifier": {"string": "string", "state": "state"},
    "custom_generate_chat_prompt": {
        "user_input": "user_input",
        "state": "state",
        "history": "history",
        "is_continue": "_continue",
    },
    "custom_tokenized_length": {"prompt": "prompt"},
    "custom_generate_reply": {
        "question": "question",
        "original_question": "original_question",
        "state": "state",
        "stopping_strings": "stopping_strings",
        "is_chat": "is_chat",
    },
}


class ScriptPlugin:
    """A plugin with the hooks of a script. `params`: the script's own dictionary. `Settings`: its simple values as
    settings of the extension."""

    # text-generation-webui does not show the text that scripts put in front of a reply.
    shows_prefix = False

    def __init__(self, module: ModuleType, overrides: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
        self.module = module
        params = getattr(module, "params", None)
        self.params: dict[str, Any] = params if isinstance(params, dict) else {}
        self._values = Params(self.params, overrides, saved)
        self.Settings = self._values.schema
        # Sentences for its status. The reader of scripts sets this.
        self.notes: Callable[[], tuple[str, ...]] = tuple
        # Names of its folder in paths and addresses. The reader of scripts sets this.
        self.names: tuple[str, ...] = ()
        # Its middleware around requests to the API. It may add more later.
        self.http_middlewares: list[HttpMiddleware] = []
        for hook in _ARGUMENTS:
            function = getattr(module, hook, None)
            if callable(function):
                setattr(self, hook, self._adapted(hook, function))

    def worker_values(self) -> dict[str, object]:
        """Return the `params` for the script's hooks in the worker."""
        return self._values.plain()

    def take_worker_values(self, values: Mapping[str, object]) -> None:
        """Copy values that the script's hooks in the worker wrote into their `params`."""
        self.params.update(values)

    def _adapted(self, hook: str, function: Callable[..., object]) -> Callable[..., object]:
        script_names = _ARGUMENTS[hook]

        # The arguments are read from the declaration, which `wraps` puts into the signature.
        @functools.wraps(getattr(hooks, hook))
        def call(settings: Any, host: Any, **arguments: Any) -> Any:
            self._values.take(settings)
            state = arguments.get("state")
            stops = None if state is None else texts_of(completed(state)["custom_stopping_strings"])
            result = by_position(function, {script_names[name]: value for name, value in arguments.items()})
            if state is not None:
                _take_stops(result if isinstance(result, dict) else state, stops)
            if hook == "custom_generate_reply" and isinstance(result, Iterable) and not isinstance(result, str):
                return iter(result)
            return result

        return call


def by_position(function: Callable[..., object], arguments: Mapping[str, object]) -> object:
    """Call a script's function. `arguments`: by their usual names, in their usual order.

    A parameter with a usual name gets that argument in any position. The others get the remaining arguments in order.
    `seed`, which text-generation-webui no longer passes, is -1.
    """
    parameters = list(inspect.signature(function).parameters.values())
    names = {parameter.name for parameter in parameters}
    rest = {name: value for name, value in arguments.items() if name not in names}
    values: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            values += rest.values()
            rest = {}
        elif parameter.kind is parameter.VAR_KEYWORD:
            named |= rest
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.name in arguments:
                named[parameter.name] = arguments[parameter.name]
        elif parameter.name in arguments:
            values.append(arguments[parameter.name])
        elif parameter.name == "seed":
            values.append(-1)
        elif rest:
            values.append(rest.pop(next(iter(rest))))
        elif parameter.default is not parameter.empty:
            values.append(parameter.default)
    return function(*values, **named)


def _take_stops(state: State, before: list[str] | None) -> None:
    """Apply stop texts that a script set under text-generation-webui's names."""
    custom = texts_of(state.get("custom_stopping_strings"))
    more = texts_of(state.get("stopping_strings"))
    if custom != before or more:
        state["stop"] = [*custom, *(text for text in more if text not in custom)]
