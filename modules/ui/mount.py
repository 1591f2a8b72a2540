"""The Gradio page as a web application that is built again, while it is served, when its extensions change."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

import gradio as gr
from fastapi import FastAPI
from starlette.responses import JSONResponse

from modules.system.threads import host_thread
from modules.ui import extension_components as extensions
from modules.ui.gradio_internals.event_queue import slow_down_queue
from modules.ui.gradio_internals.rerender import guard_rerenders
from modules.ui.page import build_page, page_options

if TYPE_CHECKING:
    from modules.app import App

_LOG = logging.getLogger(__name__)
# An open page reloads when its user pauses. Until then the old build answers its requests.
_OLD_BUILD_SECONDS = 120.0
_START_SECONDS = 30.0


class ServedPage(Protocol):
    """An ASGI application that serves the page. `lifespan` is part of the server's."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def lifespan(self, server: FastAPI) -> AbstractAsyncContextManager[None]:
        """Start and stop the page's application with the server."""
        ...


class PageHost:
    """Serves the page. Its `lifespan` is the server's.

    When extensions with components, styles or scripts change, the page is built again. The new build is complete and
    started before it replaces the old one. Then open pages reload.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._building = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        # Differs in each run: a page that was open before a restart must not call functions by their old numbers.
        self._run = secrets.token_hex(4)
        self._built = 0
        self._stops: dict[str, asyncio.Event] = {}
        name, self._page, self._shown = self._build()
        # An open page calls only its own build, because functions have other numbers in another build.
        self._pages = {name: self._page}
        app.page_build = name
        app.extensions.subscribe(self._changed)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        page, path = self._page, scope.get("path", "")
        if path.startswith("/page-"):
            prefix, slash, rest = path[1:].partition("/")
            if prefix not in self._pages:
                await JSONResponse({"error": "This page is out of date. Reload it."}, 410)(scope, receive, send)
                return
            page = self._pages[prefix]
            scope = {**scope, "path": slash + rest, "raw_path": (slash + rest).encode()}
        await page(scope, receive, send)

    @contextlib.asynccontextmanager
    async def lifespan(self, server: FastAPI) -> AsyncIterator[None]:
        """Start and stop the page's application with the server."""
        self._loop = asyncio.get_running_loop()
        await self._start(self._app.page_build, self._page)
        try:
            yield
        finally:
            self._loop = None
            for stop in self._stops.values():
                stop.set()

    def _build(self) -> tuple[str, FastAPI, tuple[Any, ...]]:
        """Return the next build: its name, its application, and the signature of the extensions that it shows."""
        name = f"page-{self._run}-{self._built}"
        self._built += 1
        faults = self._app.extensions.failures.messages
        while True:
            before = len(faults)
            shown = extensions.signature(self._app)
            server = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
            options = page_options()
            options["head"] += extensions.head(self._app)
            page = build_page(self._app)
            guard_rerenders(page)
            slow_down_queue(page)
            gr.mount_gradio_app(server, page, path="/", root_path=f"{self._app.config.root_path}/{name}", **options)
            # An extension that failed while it was drawn is off now. Build the page again without it.
            if len(faults) == before:
                return name, server, shown

    def _changed(self) -> None:
        if self._loop is not None and extensions.signature(self._app) != self._shown:
            host_thread("page", self._rebuild, "Building the page again").start()

    def _rebuild(self) -> None:
        with self._building:
            loop, old = self._loop, self._app.page_build
            if loop is None or extensions.signature(self._app) == self._shown:
                return
            try:
                name, page, shown = self._build()
                asyncio.run_coroutine_threadsafe(self._start(name, page), loop).result(_START_SECONDS)
            except Exception:
                _LOG.exception("The page could not be built again; the old one stays.")
                return
            self._pages[name] = self._page = page
            self._app.page_build, self._shown = name, shown
            loop.call_soon_threadsafe(loop.call_later, _OLD_BUILD_SECONDS, self._end_old, old)
        self._app.supervisor.state_store.publish()

    def _end_old(self, name: str) -> None:
        self._stops.pop(name).set()
        del self._pages[name]

    async def _start(self, name: str, page: FastAPI) -> None:
        """Enter the page's lifespan in a separate task. The task leaves it when its event is set."""
        started, stop = asyncio.Event(), asyncio.Event()

        async def live() -> None:
            async with page.router.lifespan_context(page):
                started.set()
                await stop.wait()

        task = asyncio.create_task(live())
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            waiting.cancel()
            task.result()
        self._stops[name] = stop
