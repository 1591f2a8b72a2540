"""Open streams, such as that of each page, end when the server does: uvicorn alone waits, and then breaks them off."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ShutdownMiddleware:
    """ASGI middleware. Once `event` is set, whoever listens for it hears that the client has gone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.event = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = begun = over = False

        async def hear() -> Message:
            nonlocal asked
            message = await (self._or_end(receive) if asked else receive())
            asked = asked or not message.get("more_body", False)
            return message

        async def say(message: Message) -> None:
            nonlocal begun, over
            begun = True
            over = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        await self._app(scope, hear, say)
        if begun and not over and self.event.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _or_end(self, receive: Receive) -> Message:
        heard, ended = asyncio.ensure_future(receive()), asyncio.ensure_future(self.event.wait())
        try:
            await asyncio.wait((heard, ended), return_when=asyncio.FIRST_COMPLETED)
            return heard.result() if heard.done() else {"type": "http.disconnect"}
        finally:
            for task in (heard, ended):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
