"""Gives each request the model that it names: waits for its turn, and lets the model be loaded where necessary.

Requests for a loaded model go on at once. Others wait, and models are loaded one after another in the order in which
requests asked for them; all that wait for one model go on together when it is loaded. Where a model is loaded in place
of another, requests for that one wait for their turn too from the moment on in which its replies must end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from modules.api.client_name import client_name
from modules.api.keep_alive_fields import apply_keep_alive, read_keep_alive
from modules.app import App
from modules.protocol.errors import PaddockError
from modules.runtime.client_model import ClientModel
from modules.runtime.loaded_model import LoadedModel
from modules.runtime.pool_model import PoolModel
from modules.runtime.waiting_generations import check_room


@dataclass(eq=False)
class _Waiter:
    """A request that waits. `model`: the one that it names, "" for whichever is loaded. `client`: who sent it."""

    model: str
    client: str
    turn: asyncio.Future[PoolModel] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class ModelTurns:
    """The requests that wait for a model, and the loads for them. Only for use on the server's event loop."""

    def __init__(self, app: App) -> None:
        self._config = app.config
        self._pool = app.pool
        self._on_request = app.on_request
        self._idle_unloader = app.idle_unloader
        self._waiting: list[_Waiter] = []
        self._changed = asyncio.Event()
        self._loader: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def use(
        self, body: Mapping[str, object], request: Request, task: str = "generate"
    ) -> AsyncIterator[LoadedModel]:
        """Keep the model that the field `model` of the body means loaded while the block starts its work, and yield it.

        `task`: "generate", "embed" or "rerank"; a model that is not made for it is not loaded. A generation that is
        started keeps the model until it ends. Raises PaddockError, QueueFull if too many requests wait, or
        ClientDisconnect if the client hangs up while it waits.
        """
        name, client = self._on_request.resolve(body.get("model")), client_name(request, self._config)
        if not name and task == "rerank":
            # No other model can mean it.
            name = next((model.name for model in self._pool.models if model.ready and model.purpose == task), "")
        chosen = read_keep_alive(body)
        model = self._enter(name)
        if model is None:
            check_room(len(self._waiting), sum(waiter.client == client for waiter in self._waiting))
            await run_in_threadpool(self._on_request.check, name, task)
            model = await self._wait(_Waiter(name, client), request)
        try:
            if self._on_request.allowed:  # Otherwise no request could load the model again.
                apply_keep_alive(model, chosen)
            yield ClientModel(model.supervisor, client)
        finally:
            model.leave()
            self._idle_unloader.wake()

    def _enter(self, name: str) -> PoolModel | None:
        """Return the model, kept loaded until its `leave`; None if it is not loaded or about to be unloaded."""
        model = self._pool.find(name)
        return model if model is not None and model.ready and model.enter() else None

    async def _wait(self, waiter: _Waiter, request: Request) -> PoolModel:
        """Wait for the turn of a request, and return its model, kept loaded until its `leave`."""
        self._waiting.append(waiter)
        if self._loader is None or self._loader.done():
            self._loader = asyncio.create_task(self._give_turns())
        hung_up = asyncio.create_task(_hung_up(request))
        first: set[asyncio.Future[Any]] = {waiter.turn, hung_up}
        try:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if not waiter.turn.done():
                raise ClientDisconnect
            return waiter.turn.result()
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.exception():
                waiter.turn.result().leave()
            raise
        finally:
            hung_up.cancel()
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            self._changed.set()

    async def _give_turns(self) -> None:
        current = self._pool.current.supervisor
        while self._waiting:
            name, before = self._waiting[0].model, current.state
            try:
                await self._make_ready(name)
            except PaddockError as error:
                self._refuse(name, error)
                with suppress(PaddockError):
                    await run_in_threadpool(self._on_request.restore, before, name, error)
            else:
                self._admit()

    def _admit(self) -> None:
        """Let all go on that wait for models that are loaded now."""
        for waiter in list(self._waiting):
            if model := self._enter(waiter.model):
                self._waiting.remove(waiter)
                waiter.turn.set_result(model)

    def _refuse(self, name: str, error: PaddockError) -> None:
        """Answer all that wait for this model with the error."""
        for waiter in [waiter for waiter in self._waiting if waiter.model == name]:
            self._waiting.remove(waiter)
            waiter.turn.set_exception(error)

    async def _make_ready(self, name: str) -> None:
        """Load the model, unless no request waits for it any more. Raises PaddockError."""

        def nobody_waits() -> bool:
            return not any(waiter.model == name for waiter in self._waiting)

        await self._until(lambda: not self._is_loading(name) or nobody_waits())
        model = self._pool.find(name)
        if model is not None and model.ready:
            await run_in_threadpool(model.wait_until_open)
        else:
            await run_in_threadpool(self._on_request.load, name, nobody_waits)

    def _is_loading(self, name: str) -> bool:
        """Return True while a load of this model or of the current one runs that is not for requests."""
        return any(model.supervisor.state.busy for model in (self._pool.find(name), self._pool.current) if model)

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` is true. It is asked when a state or the list of those who wait has changed."""
        loop = asyncio.get_running_loop()

        def look_again(state: object) -> None:
            loop.call_soon_threadsafe(self._changed.set)

        unsubscribe = self._pool.current.supervisor.state_store.subscribe(look_again)
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
