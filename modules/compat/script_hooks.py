"""From a script.py's functions to the hooks of Paddock: called by position, in whatever arity they were written."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from modules.compat.facade.state import completed, texts_of
from modules.compat.script_params import Params
from modules.plugins import hooks
from modules.plugins.extension_services import HttpMiddleware

# Hook -> its arguments as Paddock names them, and the usual name in scripts, in their usual order.
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
    """A script as a plugin: has those hooks that the script has. `params`: the script's own dictionary; `Settings`: the
    plain values in it as settings of the extension."""

    # What scripts put in front of a reply steers the model, and their user never sees it.
    shows_prefix = False

    def __init__(self, module: ModuleType, overrides: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
        self.module = module
        params = getattr(module, "params", None)
        self.params: dict[str, Any] = params if isinstance(params, dict) else {}
        self._values = Params(self.params, overrides, kept)
        self.Settings = self._values.schema
        # Sentences about it, for its status: whoever reads scripts knows them.
        self.notes: Callable[[], tuple[str, ...]] = tuple
        # Of its folder, in paths and addresses: whoever reads scripts knows them.
        self.names: tuple[str, ...] = ()
        # What it put around requests to the API, also later.
        self.http_middlewares: list[HttpMiddleware] = []
        for hook in _ARGUMENTS:
            function = getattr(module, hook, None)
            if callable(function):
                setattr(self, hook, self._adapted(hook, function))

    def worker_values(self) -> dict[str, Any]:
        """What the script's hooks in the worker find in their `params`."""
        return self._values.plain()

    def take_worker_values(self, values: Mapping[str, Any]) -> None:
        """What the script's hooks in the worker wrote into their `params` is in these, too."""
        self.params.update(values)

    def _adapted(self, hook: str, function: Callable[..., Any]) -> Callable[..., Any]:
        arguments = _ARGUMENTS[hook]

        # The declaration is what pluggy looks at for the arguments.
        @functools.wraps(getattr(hooks, hook))
        def call(settings: Any, host: Any, **given: Any) -> Any:
            self._values.take(settings)
            state = given.get("state")
            stops = None if state is None else texts_of(completed(state)["custom_stopping_strings"])
            result = by_position(function, {arguments[name]: value for name, value in given.items()})
            if state is not None:
                _take_stops(result if isinstance(result, dict) else state, stops)
            if hook == "custom_generate_reply" and isinstance(result, Iterable) and not isinstance(result, str):
                return iter(result)
            return result

        return call


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


def _take_stops(state: dict[str, Any], before: list[str] | None) -> None:
    """Stop texts under the names that scripts know take effect under ours."""
    custom = texts_of(state.get("custom_stopping_strings"))
    more = texts_of(state.get("stopping_strings"))
    if custom != before or more:
        state["stop"] = [*custom, *(text for text in more if text not in custom)]
