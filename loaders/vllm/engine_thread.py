"""Run vLLM's engine on one thread, for requests from several threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from modules.worker.batch_pace import BatchPace
from modules.worker.token_queue import TokenQueue

_Task = tuple[Callable[[], Any], "Future[Any]"]


class EngineThread:
    """An LLMEngine that is made and used on one thread, since its kernels bind their threads to it.

    `make` returns the engine. What it raises is raised here. `pace`: how long
    outputs are batched.
    """

    def __init__(self, make: Callable[[], Any], pace: BatchPace | None = None) -> None:
        self._pace = pace
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._replies: dict[str, TokenQueue[Any]] = {}
        self._thread = threading.Thread(target=self._serve, name="vllm", daemon=True)
        self._thread.start()
        self.engine: Any = None
        try:
            self.engine = self.run(make)
        except BaseException:
            self.close()
            raise

    def run(self, work: Callable[[], object]) -> Any:
        """Run `work` between two steps and return its result. Blocks."""
        return self._submit(work).result()

    def follow(self, request: str, cancelled: threading.Event, **arguments: object) -> Generator[Any, None, None]:
        """Yield the outputs of a new request. Leaving the iterator, or cancelling, ends the request.

        `arguments` are those of add_request.
        """
        outputs: TokenQueue[Any] = TokenQueue(self._pace)

        def begin() -> None:
            self.engine.add_request(request, **arguments)
            self._replies[request] = outputs

        self.run(begin)
        finished = False
        try:
            for found in outputs.items(cancelled):
                if isinstance(found, Exception):
                    raise found
                finished = found.finished
                yield found
                if finished:
                    break
        finally:
            if not finished:
                # Wait for it, so that a busy engine does not look idle.
                self.run(lambda: self._abort([request]))

    def close(self) -> None:
        """End the thread."""
        self._tasks.put(None)
        self._thread.join()

    def _submit(self, work: Callable[[], object]) -> Future[Any]:
        future: Future[Any] = Future()
        self._tasks.put((work, future))
        return future

    def _serve(self) -> None:
        while True:
            try:
                task = self._tasks.get(block=not self._replies)
            except Empty:
                self._step()
                continue
            if task is None:
                return
            work, future = task
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

    def _step(self) -> None:
        try:
            for output in self.engine.step():
                reply = self._replies.get(output.request_id)
                if reply is not None:
                    reply.put(output, last=output.finished)
                    if output.finished:
                        del self._replies[output.request_id]
        except Exception as error:
            for reply in self._replies.values():
                reply.put(error, last=True)
            self._abort(list(self._replies))

    def _abort(self, requests: list[str]) -> None:
        for request in requests:
            self._replies.pop(request, None)
        # A failed engine may fail here too. The requests have received the first error.
        with contextlib.suppress(Exception):
            self.engine.abort_request(requests)
