"""JSON answers for page and API, and errors of the page's own routes as JSON with a next step."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from modules.protocol.errors import PaddockError
from modules.ui.json_body import parse_json_body


def error_json(error: PaddockError) -> dict[str, object]:
    """Return {"error": sentence, "code", "detail", "lower": settings to lower}."""
    return {"error": error.message, "code": error.code, "detail": error.detail, "lower": list(error.lower)}


class SafeJSONResponse(JSONResponse):
    """JSON with lone surrogates replaced, which no JSON reader accepts. File names and requests may contain some."""

    def render(self, content: object) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class _StrictRequest(Request):
    """A request whose JSON is read as that of the API: without NaN, and not nested without end."""

    async def json(self) -> object:
        """Return the body's value. Raises SettingError."""
        return parse_json_body(await self.body())


class PaddockRoute(APIRoute):
    """A route that answers a PaddockError with status 400."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[object, object, Response]]:
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(_StrictRequest(request.scope, request.receive))
            except PaddockError as error:
                return SafeJSONResponse(error_json(error), status_code=400)
            except HTTPException as error:
                # FastAPI raises it from any error of reading the body.
                if not isinstance(error.__cause__, PaddockError):
                    raise
                return SafeJSONResponse(error_json(error.__cause__), status_code=400)
            except RequestValidationError as error:
                # Only the field: the value that was sent may not be valid JSON.
                place = [part for part in error.errors()[0]["loc"] if isinstance(part, str)] if error.errors() else []
                field = place[-1] if place else "body"
                sentence = f"The page sent a request with a {field} that cannot be read. Reload the page."
                return SafeJSONResponse(
                    {"error": sentence, "code": "request", "detail": "", "lower": []}, status_code=422
                )

        return answer
