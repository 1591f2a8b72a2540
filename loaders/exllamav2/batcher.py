"""ExLlamaV2's dynamic generator on one thread, for requests that come from several.

The generator is no good for threads: it is asked here alone, and so is all else that touches the card, in turn.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

_HEAR_CANCEL_SECONDS = 0.1


class RunningJob:
    """One job under way. Iterating yields the generator's results for it, up to that which says "eos"."""

    def __init__(self, batcher: Batcher, job: Any, cancelled: threading.Event) -> None:
        self._batcher, self._cancelled = batcher, cancelled
        self.job = job
        self.results: SimpleQueue[Any] = SimpleQueue()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while not self._cancelled.is_set():
            try:
                result = self.results.get(timeout=_HEAR_CANCEL_SECONDS)
            except Empty:
                continue
            if isinstance(result, BaseException):
                raise result
            yield result
            if result["eos"]:
                return

    def close(self) -> None:
        """No more is wanted; nothing happens if it has ended."""
        self._batcher.cancel(self)


class Batcher:
    """Runs work on its thread, one after another; while jobs are under way, the generator's iterations between."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._todo: deque[Callable[[], None]] = deque()
        self._idle: deque[Callable[[], None]] = deque()
        self._tickets: list[RunningJob] = []
        self._generator: Any = None
        self._over = False
        self._thread = threading.Thread(target=self._run, name="exllamav2", daemon=True)
        self._thread.start()

    def use(self, generator: Any) -> None:
        """The generator whose jobs these are."""
        self._generator = generator

    def call(self, work: Callable[[], Any], *, when_idle: bool = False) -> Any:
        """Run `work` on the thread and give its result, or raise what it raised. `when_idle`: after all jobs."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        with self._wake:
            (self._idle if when_idle else self._todo).append(run)
            self._wake.notify()
        return future.result()

    def submit(self, make_job: Callable[[], Any], cancelled: threading.Event) -> RunningJob:
        """Begin the job that `make_job` makes. Raises what the generator raises for one that cannot run."""

        def begin() -> RunningJob:
            ticket = RunningJob(self, make_job(), cancelled)
            self._generator.enqueue(ticket.job)
            self._tickets.append(ticket)
            return ticket

        ticket: RunningJob = self.call(begin)
        return ticket

    def cancel(self, ticket: RunningJob) -> None:
        """End a job before its time."""

        def end() -> None:
            if ticket in self._tickets:
                self._tickets.remove(ticket)
                self._generator.cancel(ticket.job)

        self.call(end)

    def close(self) -> None:
        """End the thread after what it is doing."""
        with self._wake:
            self._over = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._todo or self._tickets or self._idle or self._over):
                    self._wake.wait()
                if self._over:
                    return
                ready = self._todo or (self._idle if not self._tickets else None)
                work = ready.popleft() if ready else None
            if work is not None:
                work()
            else:
                self._step()

    def _step(self) -> None:
        try:
            results = self._generator.iterate()
        except Exception as error:
            # One job's fault or the card's: the generator cannot say whose, and all that ran in the batch are lost.
            tickets, self._tickets = self._tickets, []
            for ticket in tickets:
                ticket.results.put(error)
            # After a fault of the card this fails as well; the thread must live to tell the next request.
            with contextlib.suppress(Exception):
                self._generator.clear_queue()
            return
        by_job = {id(ticket.job): ticket for ticket in self._tickets}
        for result in results:
            if found := by_job.get(id(result["job"])):
                found.results.put(result)
                if result["eos"]:
                    self._tickets.remove(found)
