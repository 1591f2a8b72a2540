"""The jobs that were started: user_data/jobs/ID/ with spec.json, state.json, log.txt and results.json.

A host that runs a job, or keeps it waiting, holds a lock in its folder. A job that says "running" or "waiting", and
whose locks are free, was left by a host that died.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from modules.families.training_curve import read_curve
from modules.files.data_files import STORE_LIMITS, DataFileError, read_json
from modules.files.paths import write_atomically
from modules.jobs.job_spec import FAILED, RUNNING, WAITING, JobError, JobSpec, JobState, restore
from modules.protocol.errors import PaddockError
from modules.system.program_name import program_name

_SCRATCH, _CHECKPOINTS = "scratch", "checkpoints"
_SPEC, _STATE, _LOG, _RESULTS, _CANCEL = "spec.json", "state.json", "log.txt", "results.json", "cancel"
_BLIND = "blind.json"
_LOCK, _QUEUE_LOCK = "lock", "queue.lock"
_LONGEST_LOG = 2 << 20
INTERRUPTED = "Paddock ended while this job ran. Nothing was left in models/. Run it again: {program} jobs resume {id}"


@dataclasses.dataclass(frozen=True)
class Job:
    """One job as the store has it."""

    id: str
    spec: JobSpec
    state: JobState


class JobStore:
    """All jobs below `folder`. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Ends of jobs that a full disk did not take. Each look at such a job tries again.
        self._unsaved: dict[str, JobState] = {}

    def create(self, spec: JobSpec, status: str = RUNNING) -> str:
        """Store a new job and return its id, a number as text."""
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            number = 1 + max((int(name) for name in self._ids()), default=0)
            try:
                (self._folder / str(number)).mkdir()
            except FileExistsError:  # another process took it
                continue
            self.write_spec(str(number), spec)
            self.write_state(str(number), JobState(status, started=time.time()))
            return str(number)

    def jobs(self) -> list[Job]:
        """Return all jobs, the newest first. Folders that cannot be read are left out."""
        found = []
        for id in sorted(self._ids(), key=int, reverse=True):
            with contextlib.suppress(JobError):
                found.append(self.job(id))
        return found

    def job(self, id: str) -> Job:
        """Return a job. Raises JobError naming those that there are."""
        try:
            spec = restore(JobSpec, read_json(self._path(id) / _SPEC, limits=STORE_LIMITS))
            stored = restore(JobState, read_json(self._path(id) / _STATE, limits=STORE_LIMITS))
        except (OSError, DataFileError, TypeError, AttributeError):
            known = ", ".join(sorted(self._ids(), key=int)[-20:]) or "none yet"
            raise JobError(f"There is no job {id[:40]!r}. The jobs are: {known}.") from None
        if ended := self._unsaved.get(id):
            self.write_end(id, ended)
        return Job(id, spec, ended or stored)

    def write_spec(self, id: str, spec: JobSpec) -> None:
        """Store what the job is asked to do."""
        write_atomically(self._path(id) / _SPEC, json.dumps(dataclasses.asdict(spec), indent=1))

    def write_state(self, id: str, state: JobState) -> None:
        """Store how far the job is."""
        write_atomically(self._path(id) / _STATE, json.dumps(dataclasses.asdict(state), indent=1))
        self._unsaved.pop(id, None)

    def write_progress(self, id: str, state: JobState) -> None:
        """Store how far the job is, if that is possible now: a job does not fail for its progress."""
        with contextlib.suppress(PaddockError):
            self.write_state(id, state)

    def write_end(self, id: str, state: JobState) -> None:
        """Store the last state of a job, or keep it in memory until that is possible."""
        self._unsaved[id] = state
        self.write_progress(id, state)

    def write_results(self, id: str, results: dict[str, Any]) -> None:
        """Store what the job found."""
        write_atomically(self._path(id) / _RESULTS, json.dumps(results, indent=1, ensure_ascii=False))

    def results(self, id: str) -> dict[str, Any]:
        """Return what the job found; {} before its end."""
        try:
            value = read_json(self._path(id) / _RESULTS, limits=STORE_LIMITS)
        except (OSError, DataFileError):
            return {}
        return value if isinstance(value, dict) else {}

    def blind(self, id: str) -> list[dict[str, Any]]:
        """Return the blind comparisons of the job's answers, as `write_blind` stored them."""
        try:
            value = read_json(self._path(id) / _BLIND, limits=STORE_LIMITS)
        except (OSError, DataFileError):
            return []
        return value if isinstance(value, list) else []

    def write_blind(self, id: str, tests: list[dict[str, Any]]) -> None:
        """Store the blind comparisons of the job's answers."""
        write_atomically(self._path(id) / _BLIND, json.dumps(tests, indent=1))

    def scratch(self, id: str) -> Path:
        """Return the job's folder for large files of a run, made where it is missing."""
        folder = self._path(id) / _SCRATCH
        folder.mkdir(exist_ok=True)
        return folder

    def remove_scratch(self, id: str) -> None:
        """Remove the large files of a run."""
        shutil.rmtree(self._path(id) / _SCRATCH, ignore_errors=True)

    def checkpoints(self, id: str) -> Path:
        """Return the job's folder for what a resumed run continues from, made where it is missing."""
        folder = self._path(id) / _CHECKPOINTS
        folder.mkdir(exist_ok=True)
        return folder

    def training_curve(self, id: str) -> dict[str, Any]:
        """Return {"losses", "validation", "samples"} of a training that has not finished."""
        return read_curve(self._path(id) / _CHECKPOINTS)

    def remove_checkpoints(self, id: str) -> None:
        """Remove what a resumed run would continue from."""
        shutil.rmtree(self._path(id) / _CHECKPOINTS, ignore_errors=True)

    def log(self, id: str, text: str) -> None:
        """Add lines to the job's log, up to a length that is kept."""
        path = self._path(id) / _LOG
        with contextlib.suppress(OSError):
            if not path.exists() or path.stat().st_size < _LONGEST_LOG:
                with path.open("a", encoding="utf-8", errors="replace") as file:
                    file.write(f"{text.rstrip()}\n")

    def read_log(self, id: str) -> str:
        """Return the job's log."""
        try:
            return (self._path(id) / _LOG).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def request_cancel(self, id: str) -> None:
        """Ask the process that runs the job to cancel it."""
        (self._path(id) / _CANCEL).touch()

    def cancel_requested(self, id: str) -> bool:
        """Return True once somebody asked to cancel the job."""
        return (self._path(id) / _CANCEL).exists()

    @contextlib.contextmanager
    def held(self, id: str) -> Iterator[None]:
        """Hold the job while this process runs it. Raises JobError where another process runs it."""
        with contextlib.suppress(FileNotFoundError):
            (self._path(id) / _CANCEL).unlink()
        lock = FileLock(self._path(id) / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise JobError(f"Job {id} is running in another process. Wait, or cancel it: jobs cancel {id}") from None
        try:
            yield
        finally:
            self.remove_scratch(id)
            lock.release()

    def queue_lock(self, id: str) -> FileLock:
        """Return the lock that a host holds while the job waits in its queue. Any thread may release it."""
        return FileLock(self._path(id) / _QUEUE_LOCK, thread_local=False)

    def is_running(self, id: str) -> bool:
        """Return True while a living process holds the job."""
        for name in (_LOCK, _QUEUE_LOCK):
            lock = FileLock(self._path(id) / name)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return True
            lock.release()
        return False

    def mark_interrupted(self) -> list[Job]:
        """Mark jobs as failed that a host left when it died; return them."""
        found = []
        for job in self.jobs():
            if job.state.status in (RUNNING, WAITING) and not self.is_running(job.id):
                found.append(self.interrupt(job))
        return found

    def interrupt(self, job: Job) -> Job:
        """Mark a job as failed because its host ended; return it."""
        self.remove_scratch(job.id)
        message = INTERRUPTED.format(program=program_name(), id=job.id)
        self.log(job.id, message)
        state = dataclasses.replace(job.state, status=FAILED, ended=time.time(), seconds_left=None, message=message)
        self.write_end(job.id, state)
        return Job(job.id, job.spec, state)

    def _ids(self) -> list[str]:
        try:
            return [entry.name for entry in os.scandir(self._folder) if entry.name.isdecimal() and entry.is_dir()]
        except OSError:
            return []

    def _path(self, id: str) -> Path:
        if not id.isdecimal() or len(id) > 12:
            raise JobError(f"{id[:40]!r} is not the number of a job. List them: {program_name()} jobs list")
        return self._folder / id
