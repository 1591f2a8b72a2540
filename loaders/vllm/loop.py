"""vLLM's asyncio engine on a thread of its own, for requests that come from several."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from queue import Empty, SimpleQueue
from typing import Any

_HEAR_CANCEL_SECONDS = 0.1


class Loop:
    """An event loop on a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of `work`, which runs on the loop; blocking."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def follow(self, begin: Callable[[], AsyncGenerator[Any, None]], cancelled: threading.Event) -> Iterator[Any]:
        """What the asynchronous generator that `begin` makes yields. Leaving the iterator, or cancelling, closes it."""
        queue: SimpleQueue[Any] = SimpleQueue()
        over = object()

        async def pass_on() -> None:
            outputs = begin()
            try:
                async for output in outputs:
                    queue.put(output)
            except Exception as error:
                queue.put(error)
            finally:
                await outputs.aclose()
                queue.put(over)

        task = asyncio.run_coroutine_threadsafe(pass_on(), self._loop)
        try:
            while not cancelled.is_set():
                try:
                    found = queue.get(timeout=_HEAR_CANCEL_SECONDS)
                except Empty:
                    continue
                if found is over:
                    return
                if isinstance(found, Exception):
                    raise found
                yield found
        finally:
            # Its end by itself comes a moment after its last word; cancelling then would abort a request that is over.
            with contextlib.suppress(Exception, asyncio.CancelledError):
                if not task.done():
                    self._loop.call_soon_threadsafe(task.cancel)

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
