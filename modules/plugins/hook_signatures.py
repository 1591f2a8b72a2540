"""Which functions of an extension are hooks, and whether the arguments that they take exist."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from modules.plugins import hooks
from modules.protocol.errors import PaddockError


class HookError(PaddockError):
    """An extension has a hook that Paddock cannot call."""

    code = "extension"


@dataclass(frozen=True)
class HookImpl:
    """One extension's function for one hook. `takes`: the names of the arguments that it gets."""

    extension: str
    hook: str
    function: Callable[..., Any]
    takes: tuple[str, ...]

    def __call__(self, **arguments: object) -> object:
        """Call the function with those of the arguments that it takes."""
        return self.function(**{name: arguments[name] for name in self.takes if name in arguments})


@cache
def declared() -> dict[str, tuple[str, ...]]:
    """Return the argument names of every hook in hooks.py, by hook name."""
    functions = {name: value for name, value in vars(hooks).items() if inspect.isfunction(value)}
    return {name: tuple(inspect.signature(function).parameters) for name, function in functions.items()}


def hook_names() -> tuple[str, ...]:
    """Return the names of all hooks that are functions."""
    return tuple(name for name in declared() if name not in hooks.ATTRIBUTES)


def implementations(name: str, plugin: object) -> dict[str, HookImpl]:
    """Return the hooks of an extension by name.

    Raises HookError if a hook takes an argument that does not exist. The message lists the arguments that do.
    """
    functions = {hook: getattr(plugin, hook, None) for hook in hook_names()}
    return {
        hook: HookImpl(name, hook, function, _arguments(name, hook, function))
        for hook, function in functions.items()
        if callable(function)
    }


def misspelled_hooks(plugin: object) -> list[str]:
    """Return a sentence for each function whose name is nearly that of a hook."""
    sentences = []
    for name, value in vars(plugin).items():
        near = get_close_matches(name, hook_names(), 1, 0.85)
        if near and name != near[0] and name not in hook_names() and callable(value):
            sentences.append(f"{name} is not a hook, so Paddock never calls it. Did you mean {near[0]}?")
    return sentences


def _arguments(extension: str, hook: str, function: Callable[..., object]) -> tuple[str, ...]:
    """Return the declared arguments that a function takes. An argument with a default may have any name."""
    known = declared()[hook]
    takes = []
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise HookError(f"{extension}: {hook} cannot be called: {error}. Write it as a plain function.") from None
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name in known:
            takes.append(parameter.name)
        elif parameter.default is parameter.empty:
            near = get_close_matches(parameter.name, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise HookError(
                f"{extension}: {hook} takes {parameter.name!r}, which does not exist.{hint} "
                f"It may take: {', '.join(known)}."
            )
    return tuple(takes)
