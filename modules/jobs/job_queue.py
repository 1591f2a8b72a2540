"""Runs jobs in the host, one at a time and in order, and reports their progress to listeners."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from filelock import FileLock

from modules.jobs.job_spec import CANCELLED, RUNNING, WAITING, JobError, JobSpec, JobState
from modules.jobs.service import Jobs
from modules.jobs.store import Job
from modules.protocol.errors import PaddockError
from modules.system.listeners import Listeners
from modules.system.threads import explain_errors, host_thread

# Seconds that the end of the host waits for the running job's worker.
_END_SECONDS = 20.0


class JobQueue:
    """Waiting jobs and the one that runs. Thread-safe."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._lock = threading.Lock()
        self._waiting: dict[str, FileLock] = {}
        self._thread: threading.Thread | None = None
        self._running = ""
        self._closing = False
        # How far the running job is: (its id, its state).
        self.progress: tuple[str, JobState] | None = None
        # The job that ended last.
        self.last_ended: Job | None = None
        self._on_jobs: Listeners[Callable[[], None]] = Listeners()
        self._on_progress: Listeners[Callable[[], None]] = Listeners()

    def add(self, spec: JobSpec) -> str:
        """Store a new job, let it run after those before it, and return its id. Raises PaddockError."""
        id = self._jobs.start(spec)
        self._enqueue(id)
        return id

    def resume(self, id: str) -> None:
        """Let a failed or cancelled job run again, after those before it. Raises JobError."""
        self._jobs.check_resumable(id)
        self._enqueue(id)

    def cancel(self, id: str) -> None:
        """Cancel a job that waits or runs. Raises JobError."""
        with self._lock:
            lock = self._waiting.pop(id, None)
        if lock is None:
            self._jobs.cancel(id)
            return
        self._jobs.drop(id)
        lock.release()
        self._on_jobs.notify()

    def announce(self) -> None:
        """Tell listeners that what is stored of jobs has changed."""
        self._on_jobs.notify()

    def subscribe_jobs(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when a job is added, begins, ends or is changed, from any thread. Return what ends that."""
        return self._on_jobs.add(callback)

    def subscribe_progress(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` at each progress of the running job, from any thread. Return what ends that."""
        return self._on_progress.add(callback)

    def stop(self) -> None:
        """Start no more jobs, and end the worker of the one that runs."""
        with self._lock:
            self._closing = True
            running = self._running
            waiting, self._waiting = self._waiting, {}
        for id, lock in waiting.items():
            self._jobs.interrupt(id)
            lock.release()
        if running:
            with contextlib.suppress(JobError):
                self._jobs.cancel(running)

    def close(self) -> None:
        """Stop, and wait until the running job has ended. It is stored as failed, so that it can run again."""
        self.stop()
        if thread := self._thread:
            thread.join(_END_SECONDS)

    def _enqueue(self, id: str) -> None:
        with self._lock:
            if self._closing:
                raise JobError("Paddock is ending. Start it again, then start the job.")
            self._waiting[id] = self._jobs.wait(id)
            if self._thread is None:
                self._thread = host_thread("jobs", self._run_all, "Running jobs")
                self._thread.start()
        self._on_jobs.notify()

    def _run_all(self) -> None:
        while True:
            with self._lock:
                id = next(iter(self._waiting), "")
                if not id:
                    self._thread = None
                    return
                lock = self._waiting.pop(id)
                self._running = id
            try:
                self._run(id)
            finally:
                with contextlib.suppress(JobError):
                    self.last_ended = self._jobs.job(id)
                with self._lock:
                    self._running, self.progress = "", None
                lock.release()
                self._on_jobs.notify()

    def _run(self, id: str) -> None:
        def report(state: JobState) -> None:
            first = self.progress is None
            self.progress = id, state
            if first:
                self._on_jobs.notify()
            self._on_progress.notify()

        # The store keeps the error's sentence. The jobs after this one run in any case.
        with contextlib.suppress(PaddockError), explain_errors(f"Running job {id}"):
            try:
                self._jobs.run(id, report)
            finally:
                status = self._jobs.job(id).state.status
                if status in (WAITING, RUNNING) or (self._closing and status == CANCELLED):
                    self._jobs.interrupt(id)
