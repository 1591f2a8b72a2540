"""/extensions/<name>/…: the routes of running extensions, and their tools; /file/…: files of scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

# What no browser has a use for, or what may hold secrets.
_CODE = (".py", ".pyc", ".so", ".pyd", ".dll", ".env", ".key", ".pem")


def file_router(app: App) -> APIRouter:
    """/file/extensions/<name>/…, the address at which scripts of text-generation-webui hand out their own files."""
    routes = APIRouter()

    @routes.get("/file/{path:path}")
    def file(path: str) -> Response:
        found = _script_file(app, path)
        if found is None:
            return _refusal(404, "There is no such file of an extension that is switched on.")
        # Whatever it is, it does not run as a part of the page.
        headers = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
        return FileResponse(found, headers={**headers, "Cache-Control": "no-cache"})

    return routes


def _script_file(app: App, path: str) -> Path | None:
    """The file that an address means: below the folder of a script that is on, no code, no hidden name."""
    for running in app.extensions.running():
        if running.source.kind != "script.py":
            continue
        folder = running.source.path
        parents = ("extensions", "user_data/extensions")
        places = [f"{parent}/{name}/" for parent in parents for name in running.plugin.names]
        for place in (*places, f"{folder.as_posix()}/"):
            # A server may have taken the slash that an absolute path begins with.
            inner = next((path.removeprefix(start) for start in (place, place[1:]) if path.startswith(start)), "")
            if inner and not any(part.startswith(".") for part in Path(inner).parts):
                try:
                    file = safe_join(folder, inner)
                except PathError:
                    return None
                return file if file.is_file() and file.suffix.lower() not in _CODE else None
    return None


def router(app: App) -> APIRouter:
    """The routes. An extension that is switched on answers at once, one that is off not at all."""
    routes = APIRouter(prefix="/extensions")

    @routes.get("")
    def listed() -> list[dict[str, Any]]:
        running = app.extensions.running()
        return [{"name": one.name, "title": one.title, "routes": sorted(one.routes)} for one in running]

    @routes.get("/tools")
    def listed_tools() -> list[dict[str, Any]]:
        return [{key: value for key, value in tool.items() if key != "call"} for tool in tools(app.extensions)]

    @routes.post("/{name}/tools/{tool}")
    async def call(name: str, tool: str, request: Request) -> Response:
        body = await request.body()
        try:
            given = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            return _refusal(400, "The body must be a JSON object with the tool's parameters.")
        try:
            return _answer(await run_in_threadpool(call_tool, app.extensions, name, tool, given))
        except PaddockError as error:
            return _refusal(http_status(error, 500), error.message)

    @routes.api_route("/{name}/{path:path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    async def route(name: str, path: str, request: Request) -> Response:
        body = await request.body()
        asked = ApiRequest(request.method, path, dict(request.query_params), dict(request.headers), body)
        try:
            return _answer(await run_in_threadpool(call_route, app.extensions, name, asked))
        except PaddockError as error:
            return _refusal(http_status(error, 500), error.message)

    return routes


def _answer(value: Any) -> Response:
    if isinstance(value, Response):
        return value
    if isinstance(value, bytes):
        return Response(value, media_type="application/octet-stream")
    if isinstance(value, str):
        return Response(value, media_type="text/plain; charset=utf-8")
    try:
        return JSONResponse(value)
    except (TypeError, ValueError):
        return _refusal(500, f"The extension answered with {type(value).__name__}, which is no JSON.")


def _refusal(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "extension"}}, status)
