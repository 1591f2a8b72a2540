"""pluggy's view of the hooks: which functions of an extension are hooks, and whether their arguments exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

import pluggy

from modules.plugins import hooks
from modules.protocol.errors import PaddockError


class HookError(PaddockError):
    """A hook that the host cannot call."""

    code = "extension"


class _Hooks(pluggy.PluginManager):
    """Takes every function that is named as a hook for one: authors need no decorator."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        if name in hooks.ATTRIBUTES or not hasattr(hooks, name) or name.startswith("_"):
            return None
        return {} if name in hook_names() and callable(getattr(plugin, name, None)) else None


@dataclass(frozen=True)
class HookImpl:
    """One extension's function for one hook, and the names of the arguments it takes."""

    extension: str
    hook: str
    function: Callable[..., Any]
    takes: tuple[str, ...]

    def __call__(self, **given: Any) -> Any:
        """Call it with those of `given` that it takes."""
        return self.function(**{name: given[name] for name in self.takes if name in given})


@cache
def declared() -> dict[str, tuple[str, ...]]:
    """Hook name -> names of its arguments, in order."""
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    calls = {name: getattr(manager.hook, name) for name in vars(manager.hook) if not name.startswith("_")}
    return {name: tuple(call.spec.argnames) for name, call in calls.items()}


def hook_names() -> tuple[str, ...]:
    """Every hook that is a function."""
    return tuple(name for name in declared() if name not in hooks.ATTRIBUTES)


def implementations(name: str, plugin: Any) -> dict[str, HookImpl]:
    """The hooks of an extension, checked against their declarations. Raises HookError, a sentence that says what there
    is to take."""
    manager = _Hooks(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    try:
        manager.register(plugin, name)
    except pluggy.PluginValidationError as error:
        raise HookError(_sentence(name, plugin, error), detail=str(error)) from None
    found = {}
    for caller in manager.get_hookcallers(plugin) or ():
        for impl in caller.get_hookimpls():
            takes = (*impl.argnames, *(kw for kw in impl.kwargnames if kw in declared()[caller.name]))
            found[caller.name] = HookImpl(name, caller.name, impl.function, takes)
    return found


def misspelt(plugin: Any) -> list[str]:
    """Sentences about functions whose names are nearly those of hooks."""
    told = []
    for name, value in vars(plugin).items():
        near = get_close_matches(name, hook_names(), 1, 0.85)
        if near and name != near[0] and name not in hook_names() and callable(value):
            told.append(f"{name} is not a hook, so it is never called. Did you mean {near[0]}?")
    return told


def _sentence(name: str, plugin: Any, error: pluggy.PluginValidationError) -> str:
    for hook, arguments in declared().items():
        function = getattr(plugin, hook, None)
        if hook in hooks.ATTRIBUTES or not callable(function):
            continue
        wanted, _ = pluggy._hooks.varnames(function)
        bad = [argument for argument in wanted if argument not in arguments]
        if bad:
            near = get_close_matches(bad[0], arguments, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            takes = ", ".join(arguments)
            return f"{name}: {hook} takes {bad[0]!r}, which does not exist.{hint} It may take: {takes}."
    return f"{name} has a hook that cannot be used: {error}"
