"""One run of a job: its progress, its cancellation, and the workers that it starts."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from modules.jobs.job_spec import JobError, JobState
from modules.jobs.store import JobStore
from modules.loading.memory_planner import MemoryPlanner
from modules.protocol.errors import PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Machine
from modules.runtime.environment import Environments
from modules.runtime.process_priority import lower_priority
from modules.runtime.sandbox_paths import sandbox_variables
from modules.runtime.worker_client import WorkerClient
from modules.runtime.worker_exit import WorkerDied, WorkerExit
from modules.system.program_name import program_name
from modules.system.threads import host_thread

# Seconds between two writes of the state, and between two looks at a request to cancel from another process.
_WRITE_SECONDS = 1.0
_LOOK_SECONDS = 0.3
# Below this fraction, the time that has passed says little about the rest.
_SMALLEST_FRACTION = 0.02

# As the operating system words it.
_DISK_FULL = os.strerror(errno.ENOSPC)
# A disk with less is full: no file of weights fits.
_FULL_BYTES = 64 << 10

OnProgress = Callable[[JobState], None]


class JobCancelled(JobError):
    """The job was cancelled. Nothing of it is left in models/."""

    code = "cancelled"


class JobRun:
    """Reports progress to the store and to `on_progress`, and ends the job's workers when it is cancelled."""

    def __init__(
        self, id: str, store: JobStore, environments: Environments, root: Path, on_progress: OnProgress
    ) -> None:
        self.id = id
        self._store = store
        self._environments = environments
        self._root = root
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._clients: list[WorkerClient] = []
        self._cancelled = threading.Event()
        self._over = threading.Event()
        self._span = (0.0, 1.0)
        self._written = 0.0
        self.state = JobState(started=time.time())
        self._watch = host_thread("job watch", self._look_for_cancel, "Watching for a request to cancel the job")

    def __enter__(self) -> JobRun:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()

    def cancel(self) -> None:
        """End the job's workers; what waits for them raises JobCancelled."""
        self._cancelled.set()
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.process.kill("The job was cancelled.")

    @property
    def scratch(self) -> Path:
        """A folder for large files of this run. The store removes it at the end."""
        return self._store.scratch(self.id)

    @property
    def checkpoints(self) -> Path:
        """A folder for what a resumed run continues from. It stays until the job has finished."""
        return self._store.checkpoints(self.id)

    def elapsed(self) -> float:
        """Return the seconds since the job began."""
        return time.time() - self.state.started

    def check(self) -> None:
        """Raise JobCancelled once the job was cancelled."""
        if self._cancelled.is_set():
            raise JobCancelled("The job was cancelled. Nothing of it is left in models/.")

    @contextlib.contextmanager
    def part(self, begin: float, end: float) -> Iterator[None]:
        """Let the fractions that are reported inside count from `begin` to `end` of the part around it."""
        before = self._span
        low, high = before
        self._span = (low + begin * (high - low), low + end * (high - low))
        try:
            yield
        finally:
            self._span = before

    def report(self, step: str, fraction: float | None = None) -> None:
        """Tell the step and, where it is known, the fraction of the present part. Raises JobCancelled."""
        self.check()
        low, high = self._span
        whole = low + fraction * (high - low) if fraction is not None else self.state.fraction
        elapsed, left = time.time() - self.state.started, None
        if whole is not None and whole >= _SMALLEST_FRACTION:
            left = round(elapsed * (1 - whole) / whole, 1)
        new_step = step != self.state.step
        self.state = dataclasses.replace(self.state, step=step, fraction=whole, seconds_left=left)
        if new_step:
            self._store.log(self.id, f"{elapsed:8.1f} s  {step}")
        if time.monotonic() - self._written > _WRITE_SECONDS:
            self._written = time.monotonic()
            self._store.write_progress(self.id, self.state)
        self._on_progress(self.state)

    def make_room(self, planner: MemoryPlanner, fits: Callable[[Machine], bool]) -> None:
        """Unload idle models of the pool until the job fits, as a load does."""
        if gone := planner.make_room(fits):
            self._store.log(self.id, f"Unloaded to make room: {', '.join(gone)}")

    @contextlib.contextmanager
    def worker(
        self,
        spec: LoaderSpec,
        model: Path,
        write: Sequence[Path] = (),
        variables: Mapping[str, str] | None = None,
        read: Sequence[Path] = (),
        background: bool = False,
    ) -> Iterator[WorkerClient]:
        """Start a worker of the loader `spec` for the model at `model`; end it at the end.

        Its environment is built where it is missing. `read`, `write`: further folders that it may read,
        and those that it may write into. `background`: what else wants the processor, such as a chat, goes first.
        Raises JobCancelled, PaddockError.
        """
        if reason := spec.machine_problem(self._environments.machine):
            raise JobError(f"{reason} Choose another loader.")
        if not self._environments.status(spec).installed:
            self._environments.build(spec, lambda text, fraction: self.report(text))
        self.report(f"Starting {spec.title}")
        environment = {**sandbox_variables(model, list(read), list(write)), **(variables or {})}
        python = self._environments.python(spec)
        client = WorkerClient(spec, python, self._root, self._ended, lambda event: None, **environment)
        with self._lock:
            self._clients.append(client)
        try:
            self.check()
            if background:
                lower_priority(client.process.pid)
            client.start()
            yield client
        except WorkerDied as error:
            self.check()
            if _are_full(write):
                raise self._disk_full(error) from error
            raise _as_job(error, self.id) from error
        except PaddockError as error:
            if error.detail:
                self._store.log(self.id, error.detail)
            # Some engines lose the system's words on the way.
            if _DISK_FULL in f"{error.message} {error.detail}" or _are_full(write):
                raise self._disk_full(error) from error
            raise
        finally:
            with self._lock:
                self._clients.remove(client)
            client.process.stop()
            if client.process.stderr:
                self._store.log(self.id, "\n".join([f"Last lines of {spec.title}:", *client.process.stderr]))

    def _disk_full(self, error: PaddockError) -> JobError:
        return JobError(
            f"The disk is full ({_DISK_FULL}), and nothing is left in models/. Free some disk space, "
            f"then run it again: {program_name()} jobs resume {self.id}",
            detail=f"{error.message}\n{error.detail}".strip(),
        )

    def _ended(self, exit: WorkerExit) -> None:
        """What waits for the worker hears of its end from the client."""

    def _look_for_cancel(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            if self._store.cancel_requested(self.id):
                self.cancel()
                return


def _are_full(folders: Sequence[Path]) -> bool:
    """Return True if next to nothing can be written into one of the folders."""
    with contextlib.suppress(OSError):
        return any(shutil.disk_usage(folder).free < _FULL_BYTES for folder in folders)
    return False


def _as_job(error: WorkerDied, id: str) -> PaddockError:
    """Return the death of a job's worker as an error of the job: its cause, without the advice for a chat."""
    cause = error.message.split(". ")[0].rstrip(".")
    return JobError(
        f"{cause}. Nothing of the job is left in models/, and its log says more. Run it again: "
        f"{program_name()} jobs resume {id}",
        detail=error.detail,
    )
