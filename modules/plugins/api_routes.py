"""The routes that an extension declares with its hook `api_routes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modules.plugins.hook_calls import HookCaller, HookedExtension


def declared_routes(
    hooks: HookCaller, member: HookedExtension, fail: Callable[..., object]
) -> dict[str, Callable[..., Any]]:
    """Return the functions of an extension by method and path; {} if it declares none.

    `fail(member, hook, error)` is called when the hook returns something else than functions by method and path.
    """
    if "api_routes" not in member.impls:
        return {}
    worked, routes = hooks.try_call(member, "api_routes")
    if not worked or routes is None:
        return {}
    valid = isinstance(routes, dict) and all(
        isinstance(key, str) and len(key.split()) == 2 and callable(value) for key, value in routes.items()
    )
    if not valid:
        error = TypeError("it must return functions by method and path, such as {'GET status': function}")
        fail(member, "api_routes", error)
        return {}
    return {route_key(*key.split()): value for key, value in routes.items()}


def route_key(method: str, path: str) -> str:
    """Return the key under which a route is stored, such as "GET status"."""
    return f"{method.upper()} {path.strip('/')}"
