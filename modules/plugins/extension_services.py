"""What running extensions offer to API clients: their own routes, tools, and middleware around requests."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from modules.plugins.api_routes import route_key
from modules.plugins.extension_host import ApiRequest
from modules.plugins.manager import ExtensionManager
from modules.plugins.running_extension import RunningExtension, describe_error
from modules.protocol.errors import PaddockError

# (request, call_next) -> response, as in Starlette.
HttpMiddleware = Callable[..., Awaitable[Any]]


class ExtensionNotFound(PaddockError):
    """No running extension has this name, route or tool."""

    code = "extension_not_found"


def http_middlewares(manager: ExtensionManager) -> list[tuple[RunningExtension, HttpMiddleware]]:
    """Return the middleware of running extensions around requests to the API, innermost first."""
    if not manager.running:
        return []
    return [(running, function) for running in manager.running.in_order() for function in _middlewares_of(running)]


def route_owner(manager: ExtensionManager, method: str, path: str) -> str | None:
    """Return the name of the running extension that answers a route of the API, such as POST /v1/audio/speech."""
    key = route_key(method, path)
    return next((running.name for running in manager.running.in_order() if key in running.routes), None)


def call_route(manager: ExtensionManager, name: str, request: ApiRequest) -> object:
    """Return the answer of an extension's own route. Raises ExtensionNotFound or, if it failed, PaddockError."""
    running = _running(manager, name)
    function = running.routes.get(route_key(request.method, request.path))
    if function is None:
        routes = ", ".join(running.routes) or "none"
        raise ExtensionNotFound(f"{name} has no route {request.method} {request.path}. Its routes are: {routes}.")
    return _run(manager, running, "api_routes", lambda: function(request))


def tools(manager: ExtensionManager) -> list[dict[str, Any]]:
    """Return the tools of all running extensions: extension, name, description, parameters, call."""
    found: list[dict[str, object]] = []
    for running in manager.running.in_order():
        worked, listed = manager.hooks.try_call(running, "tools") if "tools" in running.impls else (False, None)
        for tool in listed if worked and isinstance(listed, list) else ():
            if isinstance(tool, dict) and isinstance(tool.get("name"), str) and callable(tool.get("call")):
                defaults = {"description": "", "parameters": {"type": "object", "properties": {}}}
                found.append({**defaults, **tool, "extension": running.name})
    return found


def call_tool(manager: ExtensionManager, name: str, tool: str, arguments: Mapping[str, object]) -> object:
    """Return a tool's answer. Raises ExtensionNotFound or, if it failed, PaddockError."""
    running = _running(manager, name)
    own = {entry["name"]: entry for entry in tools(manager) if entry["extension"] == name}
    if tool not in own:
        names = ", ".join(own) or "none"
        raise ExtensionNotFound(f"There is no tool named {tool!r} in {name}. Its tools are: {names}.")
    return _run(manager, running, "tools", lambda: own[tool]["call"](**arguments))


def run_extension_tool(manager: ExtensionManager, entry: Mapping[str, Any], arguments: Mapping[str, object]) -> str:
    """Call a tool of `tools` for a model. Return its result as text.

    An error of the tool raises PaddockError and leaves the extension on, because a model may call it with anything. One
    that takes too long switches it off, as with every hook.
    """
    running = _running(manager, entry["extension"])

    def call() -> tuple[str, BaseException | None]:
        try:
            value = entry["call"](**arguments)
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), None
        except Exception as error:
            return "", error

    text: str
    text, error = _run(manager, running, "tools", call)
    if error is not None:
        raise PaddockError(f"The tool failed: {describe_error(error)}.") from error
    return text


def _middlewares_of(running: RunningExtension) -> list[HttpMiddleware]:
    declared = getattr(running.plugin, "http_middlewares", ())
    # A value of another type is passed on: calling it raises the error that the author needs to see.
    return list(declared) if isinstance(declared, (list, tuple)) else [declared]


def _running(manager: ExtensionManager, name: str) -> RunningExtension:
    running = manager.running.get(name)
    if running is None:
        raise ExtensionNotFound(f"There is no extension named {name!r} switched on.")
    return running


def _run(manager: ExtensionManager, running: RunningExtension, hook: str, function: Callable[[], object]) -> Any:
    worked, value = manager.hooks.call(running, hook, run=function)
    if not worked:
        raise PaddockError(fault.message if (fault := manager.failures.get(running.name)) else running.title)
    return value
