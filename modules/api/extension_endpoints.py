"""Parts of OpenAI's API that only extensions answer: /v1/audio/…, /v1/images/… and /v1/moderations."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from modules.api.error_status import error_body, error_response
from modules.api.extension_routes import as_response
from modules.api.request_record import api_router
from modules.app import App
from modules.plugins.extension_host import ApiRequest
from modules.plugins.extension_services import call_route, route_owner
from modules.protocol.errors import PaddockError, Unsupported
from modules.ui.json_errors import SafeJSONResponse

_PATHS = ("/audio/{path:path}", "/images/{path:path}", "/moderations")
_NOT_IMPLEMENTED = 501


def router(app: App) -> APIRouter:
    """Return the routes. An extension answers one as soon as it is switched on."""
    routes = api_router()

    async def answer(request: Request) -> Response:
        method, path = request.method, request.url.path
        owner = route_owner(app.extensions, method, path)
        if owner is None:
            return _nobody_answers(method, path)
        body = await request.body()
        asked = ApiRequest(method, path, dict(request.query_params), dict(request.headers), body)
        try:
            return as_response(await run_in_threadpool(call_route, app.extensions, owner, asked))
        except PaddockError as error:
            return error_response(error)

    for path in _PATHS:
        routes.add_api_route(path, answer, methods=["GET", "POST", "DELETE"])
    return routes


def _nobody_answers(method: str, path: str) -> Response:
    hint = "Switch on the extension tts, or another one that has this route."
    error = Unsupported(
        f"No extension that is switched on answers {method} {path[:200]}. "
        f"{hint if path.startswith('/v1/audio/speech') else 'Switch on an extension that has this route.'}"
    )
    return SafeJSONResponse(error_body(error), _NOT_IMPLEMENTED)
