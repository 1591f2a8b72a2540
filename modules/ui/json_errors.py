"""JSON answers for page and API, and errors of the page's own routes as JSON with a next step."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from modules.protocol.errors import PaddockError


def error_json(error: PaddockError) -> dict[str, object]:
    """Return {"error": sentence, "code", "detail", "lower": settings to lower}."""
    return {"error": error.message, "code": error.code, "detail": error.detail, "lower": list(error.lower)}


class SafeJSONResponse(JSONResponse):
    """JSON with lone surrogates replaced, which no JSON reader accepts. File names and requests may contain some."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class PaddockRoute(APIRoute):
    """A route that answers a PaddockError with status 400."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[object, object, Response]]:
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except PaddockError as error:
                return SafeJSONResponse(error_json(error), status_code=400)
            except RequestValidationError as error:
                # Only the field: the value that was sent may not be valid JSON.
                field = str(error.errors()[0]["loc"][-1]) if error.errors() else "body"
                sentence = f"The page sent a request with a {field} that cannot be read. Reload the page."
                return SafeJSONResponse(
                    {"error": sentence, "code": "request", "detail": "", "lower": []}, status_code=422
                )

        return answer
