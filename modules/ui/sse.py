"""Server-sent events: the writer that the page and the API share, and the loop behind each stream of the page."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping

from fastapi.responses import StreamingResponse

from modules.generation.generation import Generation

# An idle stream sends a comment this often, so that the server notices a page that went away.
KEEP_ALIVE_SECONDS = 15.0
# About twenty updates a second read as a steady flow; more would take processor time from the engine.
GATHER_SECONDS = 0.05

Unsubscribe = Callable[[], None]
# Takes a callback for each change, from any thread; returns the function that removes it.
Subscribe = Callable[[Callable[..., None]], Unsubscribe]


def sse_event(value: object, name: str = "") -> bytes:
    """Return one server-sent event with a JSON value. Lone surrogates, which no JSON reader accepts, are replaced."""
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {data}\n\n".encode("utf-8", "replace")


def sse_response(events: AsyncIterator[bytes]) -> StreamingResponse:
    """Return the response that carries `events`. The browser reconnects within a second when it breaks."""

    async def lines() -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        async with contextlib.aclosing(events) as inner:  # type: ignore[type-var]
            async for line in inner:
                yield line

    return StreamingResponse(
        lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


class ThreadWaker:
    """Wake one task from other threads. Many calls of `notify` before the task looks cost one wake-up."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._names: set[str] = set()
        self._lock = threading.Lock()

    def notify(self, name: str) -> None:
        """Wake the task because of a change of this name. Callable from any thread."""
        with self._lock:
            first = not self._names
            self._names.add(name)
        if first:
            # The loop may be closed already when the last events arrive.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, timeout: float | None = None) -> set[str]:
        """Return the names since the last call; an empty set if `timeout` seconds pass without any."""
        if timeout is None:
            await self._event.wait()
        else:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._event.wait(), timeout)
        self._event.clear()
        with self._lock:
            names, self._names = self._names, set()
        return names


class CurrentGeneration:
    """A source of changes that follows one generation after another."""

    def __init__(self) -> None:
        self.generation: Generation | None = None
        self._callback: Callable[..., None] = lambda: None
        self._unsubscribe: Unsubscribe = lambda: None

    def subscribe(self, callback: Callable[..., None]) -> Unsubscribe:
        """Call `callback` at each change of the current generation."""
        self._callback = callback
        return lambda: self._unsubscribe()

    def switch(self, generation: Generation | None) -> bool:
        """Follow this generation from now on. Return False if it is the current one already."""
        if generation is self.generation:
            return False
        self._unsubscribe()
        self.generation = generation
        self._unsubscribe = generation.on_change(self._callback) if generation else lambda: None
        return True


class StreamEnd(Exception):
    """Raised by the events of a stream after the last one."""


async def event_stream(
    sources: Mapping[str, Subscribe], events: Callable[[set[str]], AsyncIterator[bytes]]
) -> AsyncIterator[bytes]:
    """Yield the events of one page until it goes away or `events` raises StreamEnd.

    `events(names)` yields what changed in the sources of these names. The first call names all of them.
    """
    waker = ThreadWaker()
    subscriptions = [subscribe(lambda *_, name=name: waker.notify(name)) for name, subscribe in sources.items()]
    names = set(sources)
    try:
        while True:
            async with contextlib.aclosing(events(names)) as changed:  # type: ignore[type-var]
                async for event in changed:
                    yield event
            await asyncio.sleep(GATHER_SECONDS)
            names = await waker.wait(KEEP_ALIVE_SECONDS)
            if not names:
                yield b": still here\n\n"
    except StreamEnd:
        return
    finally:
        for unsubscribe in subscriptions:
            unsubscribe()
