"""What running extensions offer to clients: routes of their own, tools, and a part in requests to the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from modules.plugins.api_routes import route_key
from modules.plugins.extension_host import ApiRequest
from modules.plugins.running_extension import RunningExtension
from modules.protocol.errors import PaddockError

if TYPE_CHECKING:
    from modules.plugins.manager import ExtensionManager


# (request, call_next) -> response, as Starlette has it.
HttpMiddleware = Callable[..., Awaitable[Any]]


class ExtensionNotFound(PaddockError):
    """No running extension has this name, route or tool."""

    code = "extension_not_found"


def http_middlewares(manager: ExtensionManager) -> list[tuple[RunningExtension, HttpMiddleware]]:
    """What running extensions put around requests to the API, innermost first. Costs nothing where none is on."""
    if not manager.active:
        return []
    return [(running, function) for running in manager.running() for function in _wrapping(running)]


def _wrapping(running: RunningExtension) -> list[HttpMiddleware]:
    found = getattr(running.plugin, "http_middlewares", ())
    # Whatever else it is, calling it will say that it is no function.
    return list(found) if isinstance(found, (list, tuple)) else [found]


def call_route(manager: ExtensionManager, name: str, request: ApiRequest) -> Any:
    """The answer of an extension's own route. Raises PaddockError: there is none, or it failed."""
    running = _on(manager, name)
    function = running.routes.get(route_key(request.method, request.path))
    if function is None:
        raise ExtensionNotFound(
            f"There is no {request.method} {request.path} here. There are: {', '.join(running.routes)}."
        )
    return _run(manager, running, "api_routes", lambda: function(request))


def tools(manager: ExtensionManager) -> list[dict[str, Any]]:
    """The tools of all running extensions: extension, name, description, parameters, call."""
    found: list[dict[str, Any]] = []
    for running in manager.running():
        worked, given = manager.hooks.try_call(running, "tools") if "tools" in running.impls else (False, None)
        for tool in given if worked and isinstance(given, list) else ():
            if isinstance(tool, dict) and isinstance(tool.get("name"), str) and callable(tool.get("call")):
                shape = {"description": "", "parameters": {"type": "object", "properties": {}}}
                found.append({**shape, **tool, "extension": running.name})
    return found


def call_tool(manager: ExtensionManager, name: str, tool: str, given: Mapping[str, Any]) -> Any:
    """What a tool answers. Raises PaddockError: there is none, or it failed."""
    running = _on(manager, name)
    found = next((entry for entry in tools(manager) if entry["extension"] == name and entry["name"] == tool), None)
    if found is None:
        raise ExtensionNotFound(f"There is no tool named {tool!r} in {name}.")
    return _run(manager, running, "tools", lambda: found["call"](**given))


def _on(manager: ExtensionManager, name: str) -> RunningExtension:
    running = manager.get_running(name)
    if running is None:
        raise ExtensionNotFound(f"There is no extension named {name!r} switched on.")
    return running


def _run(manager: ExtensionManager, running: RunningExtension, hook: str, function: Callable[[], Any]) -> Any:
    worked, value = manager.hooks.call(running, hook, run=function)
    if not worked:
        raise PaddockError(fault.message if (fault := manager.fault(running.name)) else running.title)
    return value
