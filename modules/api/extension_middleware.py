"""Requests to /v1 pass through what extensions put around them: functions as Starlette's HTTP middleware has them."""

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
    """ASGI middleware, which asks at each request what there is: extensions come and go while the server runs."""

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
    """One function around what is inside of it.

    It runs on a thread with an event loop of its own, as it may block: its author's server did nothing else. What is
    inside runs on the server's loop.
    """

    def __init__(self, hooks: HookCaller, member: HookedExtension, function: HttpMiddleware, app: ASGIApp) -> None:
        self._hooks = hooks
        self._member = member
        self._function = function
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = asyncio.get_running_loop()
        request = _Request(self._app, receive, send)

        async def converse() -> None:
            theirs = asyncio.get_running_loop()

            async def inside(scope: Scope, receive: Receive, send: Send) -> None:
                await _on(ours, request.inside)(scope, _on(theirs, receive), _on(theirs, send))

            around = BaseHTTPMiddleware(inside, dispatch=self._function)
            await around(dict(scope), _on(ours, request.receive), _on(ours, request.send))

        def run() -> None:
            try:
                asyncio.run(converse())
            except Exception:
                # What is not its fault is told by the server.
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
    """One request on its way, on the server's loop: what came of it, so that it can go on without the extension."""

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
        """The next message of the client's."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._body.append(message)
        return message

    async def send(self, message: Message) -> None:
        """A message to the client. One that comes after the extension was given up goes nowhere."""
        if not self.over:
            self._started, self._ended = True, _is_last(message)
            await self._send(message)

    async def inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What the extension's function is around."""

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
        """Go on as if there were no extension, as far as the client has not heard of one."""
        if not self._started:
            body = iter(self._body)

            async def receive() -> Message:
                return next(body, None) or await self._receive()

            await self._app(scope, receive, self._send)
        elif self._answered and not self._ended:
            # The whole answer was there: it failed in what it did afterwards.
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _is_last(message: Message) -> bool:
    return message["type"] == "http.response.body" and not message.get("more_body", False)


def _on(loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same function for callers on another loop: it runs on `loop`, and they wait without holding theirs up."""

    async def call(*given: Any) -> Any:
        async def run() -> Any:
            return await function(*given)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), loop))

    return call
