"""Run the HTTP middleware of extensions around requests to /v1: functions (request, call_next), as in Starlette."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.plugins.extension_services import HttpMiddleware, http_middlewares
from modules.plugins.hook_calls import BudgetClock, HookCaller, HookedExtension
from modules.plugins.manager import ExtensionManager


class ExtensionMiddleware:
    """ASGI middleware. It looks for functions at each request, because extensions start and stop at any time."""

    def __init__(self, app: ASGIApp, extensions: ExtensionManager) -> None:
        self._app = app
        self._extensions = extensions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            for member, function in http_middlewares(self._extensions):
                app = _Layer(self._extensions.hooks, member, function, app)
        await app(scope, receive, send)


class _Layer:
    """One extension's function around the application inside it.

    The function may block, so it runs on another thread with its own event loop. The application inside runs on the
    server's loop.
    """

    def __init__(self, hooks: HookCaller, member: HookedExtension, function: HttpMiddleware, app: ASGIApp) -> None:
        self._hooks = hooks
        self._member = member
        self._function = function
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        server_loop = asyncio.get_running_loop()
        request = _Request(self._app, receive, send)

        async def converse() -> None:
            own_loop = asyncio.get_running_loop()

            async def inside(scope: Scope, receive: Receive, send: Send) -> None:
                await _on(server_loop, request.inside)(scope, _on(own_loop, receive), _on(own_loop, send))

            around = BaseHTTPMiddleware(inside, dispatch=self._function)
            await around(dict(scope), _on(server_loop, request.receive), _on(server_loop, request.send))

        def run() -> None:
            try:
                asyncio.run(converse())
            except Exception:
                # The server reports errors of the application inside.
                if request.error is None:
                    raise

        try:
            worked = await self._hooks.call_async(self._member, "http_middleware", run, request.clock)
        finally:
            request.over = True
        if request.error is not None:
            raise request.error
        if not worked:
            await request.without(scope)


class _Request:
    """One request, on the server's loop. It keeps what was received, so that it can continue without the extension."""

    def __init__(self, app: ASGIApp, receive: Receive, send: Send) -> None:
        self.clock = BudgetClock()
        self.over = False
        self.error: Exception | None = None
        self._app = app
        self._receive = receive
        self._send = send
        self._body: list[Message] = []
        self._started = self._ended = self._answered = False

    async def receive(self) -> Message:
        """Return the next message of the client."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._body.append(message)
        return message

    async def send(self, message: Message) -> None:
        """Send a message to the client. Messages after the extension was abandoned are dropped."""
        if not self.over:
            self._started, self._ended = True, _is_last(message)
            await self._send(message)

    async def inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application inside the extension's function."""

        async def answer(message: Message) -> None:
            if _is_last(message):
                self._answered = True
                self.clock.start()
            await send(message)

        self.clock.stop()
        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            self.error = error
            raise
        finally:
            self.clock.start()

    async def without(self, scope: Scope) -> None:
        """Continue without the extension, if the client has not received anything from it."""
        if not self._started:
            body = iter(self._body)

            async def receive() -> Message:
                return next(body, None) or await self._receive()

            await self._app(scope, receive, self._send)
        elif self._answered and not self._ended:
            # The whole answer was there; the function failed afterwards. End the response.
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _is_last(message: Message) -> bool:
    return message["type"] == "http.response.body" and not message.get("more_body", False)


def _on(loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[Any]]:
    """Return the function for callers on another loop. It runs on `loop`; the callers' loop is not blocked."""

    async def call(*args: Any) -> Any:
        async def run() -> Any:
            return await function(*args)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), loop))

    return call
