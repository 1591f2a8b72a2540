"""A real server on a free port, in a thread, for tests over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from modules.api.listening_sockets import bind
from modules.api.server import build_server, uvicorn_config
from modules.app import App
from modules.ui.mount import PageHost, ServedPage


class LatePage:
    """Builds the page at the first request for it, since that takes long and most tests open none."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._server = FastAPI()
        self._building = asyncio.Lock()
        self._exits = contextlib.AsyncExitStack()
        self._page: PageHost | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with self._building:
            if self._page is None:
                page = await asyncio.to_thread(PageHost, self._app)
                await self._exits.enter_async_context(page.lifespan(self._server))
                self._page = page
        await self._page(scope, receive, send)

    @contextlib.asynccontextmanager
    async def lifespan(self, server: FastAPI) -> AsyncIterator[None]:
        """Stop the page with the server, if it was built."""
        async with self._exits:
            yield


@contextmanager
def serving(app: App, page_host: Callable[[App], ServedPage] = LatePage) -> Iterator[str]:
    """Serve the App while the block runs, and yield the server's address.

    `page_host`: PageHost, which builds the page at once as Paddock does, for a test of what that does.
    """
    listener = bind("127.0.0.1", 0)
    up = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            up.set()

    server = Server(uvicorn_config(build_server(app, page_host), timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        assert up.wait(60)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
