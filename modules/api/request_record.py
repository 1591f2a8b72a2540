"""What is noted of each request to the API, for the request log and for /metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.api.authentication import API
from modules.generation.generation import Generation

# The route of a request that no route took: it was refused, or its address does not exist.
NO_ROUTE = "none"
_KEY = "paddock_request_record"
_MOST_BODY = 10_000


@dataclass
class RequestRecord:
    """One request. `route`: its address, with the names of its variable parts; one of a limited number. `status`: 0 if
    the client hung up before an answer. `body`: the beginning of its body. `seconds`: until the answer was complete."""

    client: str
    method: str
    path: str
    route: str = NO_ROUTE
    status: int = 0
    seconds: float = 0.0
    body: bytearray = field(default_factory=bytearray)
    generations: list[Generation] = field(default_factory=list)


class RequestRecordMiddleware:
    """ASGI middleware outside of all checks. It calls each of `on_end` with the record of each request below /v1/."""

    def __init__(self, app: ASGIApp, on_end: Iterable[Callable[[RequestRecord], None]]) -> None:
        self._app = app
        self._on_end = list(on_end)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        record = RequestRecord(client[0] if client else "", scope["method"], scope["path"])
        scope.setdefault("state", {})[_KEY] = record
        begun = time.monotonic()

        async def receive_and_note() -> Message:
            message = await receive()
            if len(record.body) < _MOST_BODY:
                record.body += message.get("body", b"")[: _MOST_BODY - len(record.body)]
            return message

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive_and_note, send_and_note)
        finally:
            record.seconds = time.monotonic() - begun
            for call in self._on_end:
                call(record)


async def note_route(request: Request) -> None:
    """Note the route that takes a request. A dependency of the API's router."""
    if record := _record(request):
        route = request.scope["path"]
        for name, value in request.path_params.items():
            route = f"{route.removesuffix(value)}{{{name}}}"
        record.route = route


def api_router(part: str = "") -> APIRouter:
    """Return a router for the routes below /v1 and `part`, whose requests are noted."""
    return APIRouter(prefix=f"/v1{part}", dependencies=[Depends(note_route)])


def note_generations(request: Request, generations: Iterable[Generation]) -> None:
    """Note the generations that a request started."""
    if record := _record(request):
        record.generations.extend(generations)


def note_no_route(request: Request) -> None:
    """Note that the API has no such route."""
    if record := _record(request):
        record.route = NO_ROUTE


def _record(request: Request) -> RequestRecord | None:
    state: dict[str, Any] = request.scope.get("state", {})
    return state.get(_KEY)
