"""How the page's own routes speak: errors as JSON with a next step, and server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute

from modules.protocol.errors import PaddockError

# An idle stream says something this often, so that a follower who went away is noticed.
KEEP_ALIVE_SECONDS = 15.0
# Some twenty updates a second read as a steady flow; more would take processor time from the engine.
GATHER_SECONDS = 0.05


def explain(error: PaddockError) -> dict[str, Any]:
    """{"error": sentence, "code", "detail", "lower": settings to lower}."""
    return {"error": error.message, "code": error.code, "detail": error.detail, "lower": list(error.lower)}


class PageJson(JSONResponse):
    """JSON in which lone surrogates, such as stand for odd bytes in file names, are replaced: no reader takes them."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class PaddockRoute(APIRoute):
    """A route whose PaddockError becomes an answer with status 400."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except PaddockError as error:
                return PageJson(explain(error), status_code=400)
            except RequestValidationError as error:
                # The field alone: what was sent may hold what no JSON takes.
                field = str(error.errors()[0]["loc"][-1]) if error.errors() else "body"
                sentence = f"The page sent a request with a {field} that cannot be read. Reload the page."
                return PageJson({"error": sentence, "code": "request", "detail": "", "lower": []}, status_code=422)

        return answer


def event(name: str, value: Any) -> bytes:
    """One server-sent event with a JSON value. Lone surrogates, which no reader takes, are replaced."""
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {data}\n\n".encode("utf-8", "replace")


def stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    """The response that carries `events`; the browser comes back within a second when it breaks."""

    async def lines() -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        async with contextlib.aclosing(events) as inner:  # type: ignore[type-var]
            async for line in inner:
                yield line

    return StreamingResponse(
        lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


class Waker:
    """Lets other threads wake one task. Many pokes before it looks cost one wake-up."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._names: set[str] = set()
        self._lock = threading.Lock()

    def poke(self, name: str) -> None:
        """Something of this `name` changed. From any thread."""
        with self._lock:
            first = not self._names
            self._names.add(name)
        if first:
            # The loop may be closed already when the last events arrive.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, timeout: float) -> set[str]:
        """The names poked since the last call; empty when `timeout` seconds pass without any."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._event.wait(), timeout)
        self._event.clear()
        with self._lock:
            names, self._names = self._names, set()
        return names
