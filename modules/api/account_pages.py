"""The page of each account: a separate application, built when the account first asks for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from modules.api.account_apps import AccountApps
from modules.api.account_gate import account_of
from modules.app import App
from modules.settings.accounts import Account


@dataclass
class _Page:
    application: FastAPI
    account: Account
    stop: asyncio.Event
    task: asyncio.Task[None] | None = None


class AccountPages:
    """ASGI application that passes a request to the page of its account. `build`: makes the page of an App.

    `lifespan` must be the server's. The owner's page is built at start.
    """

    def __init__(self, app: App, apps: AccountApps, build: Callable[[App], FastAPI]) -> None:
        self._apps = apps
        self._build = build
        self._owners = build(app)
        self._pages: dict[str, _Page] = {}
        self._building: dict[str, asyncio.Lock] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        account = account_of(scope)
        page: ASGIApp = self._owners if account is None else (await self._page(account)).application
        await page(scope, receive, send)

    @contextlib.asynccontextmanager
    async def lifespan(self, server: FastAPI) -> AsyncIterator[None]:
        """Start the owner's page, and stop all pages with the server."""
        async with self._owners.router.lifespan_context(self._owners):
            try:
                yield
            finally:
                for page in self._pages.values():
                    page.stop.set()

    async def _page(self, account: Account) -> _Page:
        async with self._building.setdefault(account.name, asyncio.Lock()):
            page = self._pages.get(account.name)
            # An account that was removed and added again, or has another role, gets another page.
            if page is None or page.account.access != account.access:
                if page is not None:
                    page.stop.set()
                application = await asyncio.to_thread(self._make, account)
                page = self._pages[account.name] = _Page(application, account, asyncio.Event())
                await self._start(page)
            return page

    def _make(self, account: Account) -> FastAPI:
        return self._build(self._apps.of(account))

    async def _start(self, page: _Page) -> None:
        """Enter the page's lifespan in a separate task, which leaves it when the page is stopped."""
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def live() -> None:
            try:
                async with page.application.router.lifespan_context(page.application):
                    started.set_result(None)
                    await page.stop.wait()
            except Exception as error:
                if started.done():
                    raise
                started.set_exception(error)

        page.task = asyncio.create_task(live())
        await started
