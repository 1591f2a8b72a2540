"""The Gradio page as a web application that can be built anew while it is served."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import gradio as gr
from fastapi import FastAPI
from starlette.responses import JSONResponse

from modules.threads import host_thread
from modules.ui import extensions
from modules.ui.page import build_page, page_options

if TYPE_CHECKING:
    from modules.app import App

_LOG = logging.getLogger(__name__)
# Pages that show the old one are told to reload; what they had under way may end first.
_OLD_SECONDS = 30.0
_START_SECONDS = 30.0
# Seconds between two looks of Gradio's queue: what a click may wait.
_LOOK_SECONDS = 0.1


class PageHost:
    """Serves the page; an extension that brings components, styles or scripts leads to a new one, and open pages
    reload. Its `lifespan` is to be that of the server."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._building = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stops: list[asyncio.Event] = []
        self._page = self._build(0)
        # An open page calls its own build only: functions have other numbers in another.
        self._pages = {_prefix(0): self._page}
        app.extensions.subscribe(self._changed)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        page, path = self._page, scope.get("path", "")
        prefix = path[: path.find("/", 1)]
        if path.startswith("/page-"):
            if prefix not in self._pages:
                await JSONResponse({"error": "This page is old. Reload it."}, 410)(scope, receive, send)
                return
            page = self._pages[prefix]
            scope = {**scope, "path": path[len(prefix) :], "raw_path": path[len(prefix) :].encode()}
        await page(scope, receive, send)

    @contextlib.asynccontextmanager
    async def lifespan(self, server: FastAPI) -> AsyncIterator[None]:
        """Run the page's own start and end with the server's."""
        self._loop = asyncio.get_running_loop()
        await self._start(self._page)
        try:
            yield
        finally:
            self._loop = None
            for stop in self._stops:
                stop.set()

    def _build(self, number: int) -> FastAPI:
        faults = self._app.extensions.fault_log
        while True:
            before = len(faults)
            self._shown = extensions.signature(self._app)
            server = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
            options = page_options()
            options["head"] += extensions.head(self._app)
            page = build_page(self._app)
            # Gradio would look a thousand times a second, for 6 % of a core, whether somebody clicked.
            page._queue.sleep_when_free = page._queue.progress_update_sleep_when_free = _LOOK_SECONDS
            gr.mount_gradio_app(server, page, path="/", root_path=_prefix(number), **options)
            # One that failed while it was drawn is off now: the page is drawn once more, without it.
            if len(faults) == before:
                return server

    def _changed(self) -> None:
        if self._loop is not None and extensions.signature(self._app) != self._shown:
            host_thread("page", self._rebuild, "Building the page again").start()

    def _rebuild(self) -> None:
        with self._building:
            loop = self._loop
            if loop is None or extensions.signature(self._app) == self._shown:
                return
            try:
                number = self._app.pages + 1
                page = self._build(number)
                asyncio.run_coroutine_threadsafe(self._start(page), loop).result(_START_SECONDS)
            except Exception:
                _LOG.exception("The page could not be built anew; the old one stays.")
                return
            self._pages[_prefix(number)] = self._page = page
            self._app.pages = number
            loop.call_soon_threadsafe(
                loop.call_later, _OLD_SECONDS, self._end_old, _prefix(number - 1), self._stops[-2]
            )
        self._app.supervisor.board.tell()

    def _end_old(self, prefix: str, stop: asyncio.Event) -> None:
        stop.set()
        del self._pages[prefix]
        self._stops.remove(stop)

    async def _start(self, page: FastAPI) -> None:
        """Enter the page's lifespan in a task of its own, which leaves it when it is told to stop."""
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
        self._stops.append(stop)


def _prefix(number: int) -> str:
    """Where the functions of one build of the page are called."""
    return f"/page-{number}"
