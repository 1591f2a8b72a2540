"""/extensions/<name>/…: the routes of running extensions, and their tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from modules.plugins.host import ApiRequest
from modules.plugins.services import call_route, call_tool, tools
from modules.protocol.errors import PaddockError

if TYPE_CHECKING:
    from modules.app import App

_MOST_BODY = 64 * 1024 * 1024


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
        except ValueError:
            given = None
        if not isinstance(given, dict):
            return _refusal(400, "The body must be a JSON object with the tool's parameters.")
        try:
            return _answer(await run_in_threadpool(call_tool, app.extensions, name, tool, given))
        except PaddockError as error:
            return _refusal(404 if "There is no" in error.message else 500, error.message)

    @routes.api_route("/{name}/{path:path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    async def route(name: str, path: str, request: Request) -> Response:
        if int(request.headers.get("content-length") or 0) > _MOST_BODY:
            return _refusal(413, "The body is larger than 64 MB.")
        body = await request.body()
        asked = ApiRequest(request.method, path, dict(request.query_params), dict(request.headers), body)
        try:
            return _answer(await run_in_threadpool(call_route, app.extensions, name, asked))
        except PaddockError as error:
            return _refusal(404 if "There is no" in error.message else 500, error.message)

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
