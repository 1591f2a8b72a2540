"""Routes of running extensions and their tools, below /extensions/<name>/, and files of scripts, below /file/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse, Response

from modules.api.error_status import http_status
from modules.files.paths import PathError, safe_join
from modules.plugins.extension_host import ApiRequest
from modules.plugins.extension_services import call_route, call_tool, tools
from modules.protocol.errors import PaddockError

if TYPE_CHECKING:
    from modules.app import App

# Files that no browser needs, or that may contain secrets.
_CODE = (".py", ".pyc", ".so", ".pyd", ".dll", ".env", ".key", ".pem")


def file_router(app: App) -> APIRouter:
    """Return the route /file/extensions/<name>/…, at which scripts of text-generation-webui serve their own files."""
    routes = APIRouter()

    @routes.get("/file/{path:path}")
    def file(path: str) -> Response:
        found = _script_file(app, path)
        if found is None:
            return _refusal(
                404, "No extension that is switched on has this file. Check the address, or switch the extension on."
            )
        # No file runs as a part of the page.
        headers = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
        return FileResponse(found, headers={**headers, "Cache-Control": "no-cache"})

    return routes


def _script_file(app: App, path: str) -> Path | None:
    """Return the file at a path below the folder of a running script, or None. Code and hidden files are not served."""
    for running in app.extensions.running.in_order():
        if running.source.kind != "script.py":
            continue
        folder = running.source.path
        parents = ("extensions", "user_data/extensions")
        places = [f"{parent}/{name}/" for parent in parents for name in running.plugin.names]
        for place in (*places, f"{folder.as_posix()}/"):
            # A server may have removed the leading slash of an absolute path.
            inner = next((path.removeprefix(start) for start in (place, place[1:]) if path.startswith(start)), "")
            if inner and not any(part.startswith(".") for part in Path(inner).parts):
                try:
                    file = safe_join(folder, inner)
                except PathError:
                    return None
                return file if file.is_file() and file.suffix.lower() not in _CODE else None
    return None


def router(app: App) -> APIRouter:
    """Return the routes. An extension answers as soon as it is switched on, and no longer once it is off."""
    routes = APIRouter(prefix="/extensions")

    @routes.get("")
    def listed() -> list[dict[str, object]]:
        running = app.extensions.running.in_order()
        return [{"name": one.name, "title": one.title, "routes": sorted(one.routes)} for one in running]

    @routes.get("/tools")
    def listed_tools() -> list[dict[str, object]]:
        return [{key: value for key, value in tool.items() if key != "call"} for tool in tools(app.extensions)]

    @routes.post("/{name}/tools/{tool}")
    async def call(name: str, tool: str, request: Request) -> Response:
        body = await request.body()
        try:
            args = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            args = None
        if not isinstance(args, dict):
            return _refusal(400, "The body must be a JSON object with the tool's parameters.")
        try:
            return as_response(await run_in_threadpool(call_tool, app.extensions, name, tool, args))
        except PaddockError as error:
            return _refusal(http_status(error, 500), error.message)

    @routes.api_route("/{name}/{path:path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    async def route(name: str, path: str, request: Request) -> Response:
        body = await request.body()
        api_request = ApiRequest(request.method, path, dict(request.query_params), dict(request.headers), body)
        try:
            return as_response(await run_in_threadpool(call_route, app.extensions, name, api_request))
        except PaddockError as error:
            return _refusal(http_status(error, 500), error.message)

    return routes


def as_response(value: object) -> Response:
    """Return the response for what an extension's route or tool answered: a JSON value, a text, bytes or a Response."""
    if isinstance(value, Response):
        return value
    if isinstance(value, bytes):
        return Response(value, media_type="application/octet-stream")
    if isinstance(value, str):
        return Response(value, media_type="text/plain; charset=utf-8")
    try:
        return JSONResponse(value)
    except (TypeError, ValueError):
        kind = type(value).__name__
        return _refusal(
            500, f"The extension answered with {kind}, which is not JSON. It must return JSON, text or bytes."
        )


def _refusal(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "extension"}}, status)
