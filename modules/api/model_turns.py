"""Gives each request the model that it names: waits for its turn, and lets the model be loaded where necessary.

One model is loaded at a time. Requests for the loaded model go on at once, unless one for another model waits. Then
they wait too, and the models take turns in the order in which requests asked for them: all that wait for the model that
was loaded last go on together, and the next model is loaded when they have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from modules.app import App
from modules.protocol.errors import PaddockError


@dataclass(eq=False)
class _Waiter:
    """A request that waits. `model`: the one that it names, "" for whichever is loaded."""

    model: str
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class ModelTurns:
    """The requests that wait for a model, and the loads for them. Only for use on the server's event loop."""

    def __init__(self, app: App) -> None:
        self._supervisor = app.supervisor
        self._on_request = app.on_request
        self._worker_died: Callable[[], bool] = lambda: app.reloader.worker_died
        self._waiting: list[_Waiter] = []
        # Requests that had their turn and have not handed their generation to the worker's queue yet.
        self._using = 0
        self._changed = asyncio.Event()
        self._loader: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def use(self, value: object, request: Request) -> AsyncIterator[None]:
        """Keep the model that `value`, the request's field `model`, means loaded while the block starts its work.

        A generation that is started keeps the model until it ends. Raises PaddockError, or ClientDisconnect if the
        client hangs up while it waits.
        """
        name = self._on_request.resolve(value)
        if self._waiting or self._is_giving_turns() or not self._is_ready(name):
            await run_in_threadpool(self._on_request.check, name)
            await self._wait(_Waiter(name), request)
        else:
            self._using += 1
        try:
            yield
        finally:
            self._using -= 1
            self._changed.set()

    def _is_giving_turns(self) -> bool:
        """Return True while a load may be under way, also if all who waited for it have hung up."""
        return self._loader is not None and not self._loader.done()

    def _is_ready(self, name: str) -> bool:
        state = self._supervisor.state
        return state.phase == "ready" and name in ("", state.model) and not self._worker_died()

    async def _wait(self, waiter: _Waiter, request: Request) -> None:
        """Wait for the turn of a request, which then counts as using the model."""
        self._waiting.append(waiter)
        if not self._is_giving_turns():
            self._loader = asyncio.create_task(self._give_turns())
        hung_up = asyncio.create_task(_hung_up(request))
        try:
            await asyncio.wait({waiter.turn, hung_up}, return_when=asyncio.FIRST_COMPLETED)
            if not waiter.turn.done():
                raise ClientDisconnect
            waiter.turn.result()
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.exception():
                self._using -= 1
            raise
        finally:
            hung_up.cancel()
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            self._changed.set()

    async def _give_turns(self) -> None:
        while self._waiting:
            name, before = self._waiting[0].model, self._supervisor.state
            try:
                await self._make_ready(name)
            except PaddockError as error:
                self._refuse(name, error)
                with suppress(PaddockError):
                    await run_in_threadpool(self._on_request.restore, before, name, error)
            else:
                self._admit()

    def _admit(self) -> None:
        """Let all go on that wait for the model that is loaded now."""
        for waiter in [waiter for waiter in self._waiting if self._is_ready(waiter.model)]:
            self._waiting.remove(waiter)
            self._using += 1
            waiter.turn.set_result(None)

    def _refuse(self, name: str, error: PaddockError) -> None:
        """Answer all that wait for this model with the error."""
        for waiter in [waiter for waiter in self._waiting if waiter.model == name]:
            self._waiting.remove(waiter)
            waiter.turn.set_exception(error)

    async def _make_ready(self, name: str) -> None:
        """Load the model, unless no request waits for it any more. Raises PaddockError."""

        def nobody_waits() -> bool:
            return not any(waiter.model == name for waiter in self._waiting)

        await self._until(lambda: not self._supervisor.state.busy or nobody_waits())
        if self._is_ready(name):
            return
        while self._using and not nobody_waits():
            self._changed.clear()
            await self._changed.wait()
        await run_in_threadpool(self._on_request.load, name, nobody_waits)

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` is true. It is asked when the state or the list of those who wait has changed."""
        loop = asyncio.get_running_loop()

        def look_again(state: object) -> None:
            loop.call_soon_threadsafe(self._changed.set)

        unsubscribe = self._supervisor.state_store.subscribe(look_again)
        try:
            while not condition():
                self._changed.clear()
                if not condition():
                    await self._changed.wait()
        finally:
            unsubscribe()


async def _hung_up(request: Request) -> None:
    """Return when the client has closed the connection. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
