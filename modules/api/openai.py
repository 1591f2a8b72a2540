"""The routes below /v1: models, completions and chat completions, as in OpenAI's API.

They use the same queue and the same generations as the page.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from modules.api.authentication import METHODS
from modules.api.error_status import error_body, error_response
from modules.api.model_name import not_found
from modules.api.openai_stream import stream_answer, wait_until_done
from modules.api.request_params import parse_body
from modules.api.start_generation import start_generation
from modules.app import App
from modules.protocol.errors import PaddockError, Unsupported
from modules.ui.json_errors import SafeJSONResponse


def router(app: App) -> APIRouter:
    """Return the routes below /v1."""
    routes = APIRouter(prefix="/v1")
    loading = asyncio.Lock()

    def describe(name: str) -> dict[str, Any]:
        state = app.supervisor.state
        loaded = state.phase == "ready" and state.model == name
        # Typed clients refuse an entry without `created`; when a model was made is unknown.
        return {"id": name, "object": "model", "created": 0, "owned_by": "local", "loaded": loaded}

    @routes.get("/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [describe(name) for name in app.library.names()]}

    @routes.post("/completions")
    async def completions(request: Request) -> Response:
        return await _answer(app, request, loading, is_chat=False)

    @routes.post("/chat/completions")
    async def chat_completions(request: Request) -> Response:
        return await _answer(app, request, loading, is_chat=True)

    @routes.get("/models/{name:path}")
    def model(name: str) -> Response:
        if name in app.library.names():
            return SafeJSONResponse(describe(name))
        return error_response(not_found(app, name))

    known = {route.path: sorted(route.methods or ()) for route in routes.routes if isinstance(route, APIRoute)}

    # The last route: it takes what no other one has taken.
    @routes.api_route("/{path:path}", methods=[*METHODS])
    def unknown(request: Request) -> Response:
        return _no_route(request, known)

    return routes


def _no_route(request: Request, known: dict[str, list[str]]) -> Response:
    path, method = request.url.path, request.method
    listed = ", ".join(f"{' '.join(methods)} {route}" for route, methods in known.items())
    allowed = known.get(path, [])
    problem = f"{path} does not take {method}" if allowed else f"There is no {path[:200]}"
    error = Unsupported(f"{problem}. The routes are: {listed}. Use one of them.")
    headers = {"Allow": ", ".join(allowed)} if allowed else None
    return SafeJSONResponse(error_body(error), 405 if allowed else 404, headers)


async def _answer(app: App, request: Request, loading: asyncio.Lock, *, is_chat: bool) -> Response:
    try:
        body = parse_body(await request.body())
        if app.reloader.worker_died:
            # One thread waits for the load, not one for each request.
            async with loading:
                await run_in_threadpool(app.reloader.ensure_loaded)
        answer, generation = await run_in_threadpool(start_generation, app, body, is_chat=is_chat)
    except PaddockError as error:
        return error_response(error)
    if answer.options.stream:
        return StreamingResponse(stream_answer(answer, generation), media_type="text/event-stream")
    await wait_until_done(generation, request)
    if generation.error is not None:
        return error_response(generation.error)
    return SafeJSONResponse(answer.completion(generation))
