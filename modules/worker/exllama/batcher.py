"""Run ExLlama's generator on one thread, for requests from several threads.

The generator is not thread-safe. Everything that uses the card runs on this thread.
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
    """A running job. Iterating yields the generator's results for it, up to the one with "eos"."""

    def __init__(self, batcher: Batcher, job: Any, cancelled: threading.Event) -> None:
        self._batcher, self._cancelled = batcher, cancelled
        self.job = job
        self.results: SimpleQueue[dict[str, Any] | Exception] = SimpleQueue()

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

    @property
    def cancelled(self) -> bool:
        """True if the request was cancelled."""
        return self._cancelled.is_set()

    def close(self) -> None:
        """Cancel the job. Does nothing if it has ended."""
        self._batcher.cancel(self)


class Batcher:
    """Runs functions on its thread one after another and, while there are jobs, the generator's steps between them."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._todo: deque[Callable[[], None]] = deque()
        self._idle: deque[Callable[[], None]] = deque()
        self._running: list[RunningJob] = []
        self._generator: Any = None
        self._over = False
        self._thread = threading.Thread(target=self._run, name="exllama", daemon=True)
        self._thread.start()

    def use(self, generator: Any) -> None:
        """Set the generator for the following jobs."""
        self._generator = generator

    def call(self, work: Callable[[], object], *, when_idle: bool = False) -> Any:
        """Run `work` on the thread and return its result, or raise what it raises. `when_idle`: after all jobs."""
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
        """Start the job that `make_job` returns. Raises what the generator raises for a job that cannot run."""

        def begin() -> RunningJob:
            job = RunningJob(self, make_job(), cancelled)
            self._generator.enqueue(job.job)
            self._running.append(job)
            return job

        job: RunningJob = self.call(begin)
        return job

    def cancel(self, job: RunningJob) -> None:
        """Cancel a job."""

        def end() -> None:
            if job in self._running:
                self._running.remove(job)
                self._generator.cancel(job.job)

        self.call(end)

    def close(self) -> None:
        """End the thread after its current step."""
        with self._wake:
            self._over = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._todo or self._running or self._idle or self._over):
                    self._wake.wait()
                if self._over:
                    return
                ready = self._todo or (self._idle if not self._running else None)
                work = ready.popleft() if ready else None
            if work is not None:
                work()
            else:
                self._step()

    def _step(self) -> None:
        try:
            results = self._generator.iterate()
        except Exception as error:
            # The generator cannot say which job caused the error, so all jobs of the batch fail.
            failed, self._running = self._running, []
            for job in failed:
                job.results.put(error)
            # After an error of the card this fails too. The thread must go on, to report the error to the next request.
            with contextlib.suppress(Exception):
                self._generator.clear_queue()
            return
        by_job = {id(job.job): job for job in self._running}
        for result in results:
            if found := by_job.get(id(result["job"])):
                # An error that ended this job alone.
                found.results.put(result.get("error") or result)
                if result["eos"]:
                    self._running.remove(found)
