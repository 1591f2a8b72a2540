"""End open streams, such as that of each page, when the server ends. uvicorn alone waits, then cuts them off."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ShutdownMiddleware:
    """ASGI middleware. Once `event` is set, applications that wait for the client see a disconnect."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.event = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body_read = started = complete = False

        async def receive_or_end() -> Message:
            nonlocal body_read
            message = await (self._or_end(receive) if body_read else receive())
            body_read = body_read or not message.get("more_body", False)
            return message

        async def send_and_note(message: Message) -> None:
            nonlocal started, complete
            started = True
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        await self._app(scope, receive_or_end, send_and_note)
        if started and not complete and self.event.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _or_end(self, receive: Receive) -> Message:
        received, ended = asyncio.ensure_future(receive()), asyncio.ensure_future(self.event.wait())
        try:
            await asyncio.wait((received, ended), return_when=asyncio.FIRST_COMPLETED)
            return received.result() if received.done() else {"type": "http.disconnect"}
        finally:
            for task in (received, ended):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
