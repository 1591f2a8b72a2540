"""Starts, repeats, cancels and lists jobs, for page, command line and API alike."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from filelock import FileLock, Timeout

from modules.jobs.blind import BlindTests
from modules.jobs.job_run import JobCancelled, JobRun, OnProgress
from modules.jobs.job_spec import CANCELLED, FAILED, FINISHED, KINDS, RUNNING, WAITING, JobError, JobSpec, JobState
from modules.jobs.renamed import renamed_results, renamed_spec
from modules.jobs.resources import JobResources
from modules.jobs.staging import remove_leftovers
from modules.jobs.store import Job, JobStore
from modules.jobs.texts import OnStep
from modules.protocol.errors import PaddockError
from modules.system.program_name import program_name
from modules.system.threads import explain_errors


class Jobs:
    """All jobs of one user. What a host left behind when it was killed is cleaned up once, at the first use."""

    def __init__(self, resources: JobResources) -> None:
        self._resources = resources
        self._store = JobStore(resources.paths.jobs)
        self.blind = BlindTests(self._store)
        self._store.mark_interrupted()
        remove_leftovers(resources.models)

    @property
    def resources(self) -> JobResources:
        """The parts of the App that jobs use."""
        return self._resources

    def start(self, spec: JobSpec, status: str = RUNNING) -> str:
        """Store a new job and return its id. Raises PaddockError where it is known that it cannot be done."""
        from modules.jobs.runners import PLANNERS  # the start of the page needs none of what they import

        if plan := PLANNERS.get(spec.kind):
            plan(spec, self._resources)
        elif spec.kind not in KINDS:
            raise JobError(f"There is no kind of job named {spec.kind[:40]!r}. The kinds are: {', '.join(KINDS)}.")
        for model in {spec.model, *([spec.against] if spec.against else []), *spec.models}:
            self._resources.library.facts(model)
        return self._store.create(spec, status)

    def plan(self, spec: JobSpec, report: OnStep = lambda step: None) -> dict[str, Any]:
        """Return what a quantization will make, and what it will take (estimate.Estimate).

        `report` hears of the steps that take seconds before they start. Raises PaddockError.
        """
        from modules.jobs.estimate import describe_estimate, estimate_quantize
        from modules.jobs.quantize import describe_plan, plan_quantize

        if spec.kind != "quantize":
            raise JobError("Only a quantization has a plan. Start the job.")
        plan = plan_quantize(spec, self._resources)
        return {**describe_plan(plan), "estimate": describe_estimate(estimate_quantize(plan, self._resources, report))}

    def wait(self, id: str) -> FileLock:
        """Mark a job as waiting in this process. Return the acquired lock that says so; release it when it has run."""
        lock = self._store.queue_lock(id)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise JobError(f"Job {id} waits in another process already.") from None
        self._store.write_state(id, JobState(WAITING, started=time.time()))
        return lock

    def drop(self, id: str) -> None:
        """Mark a job that has waited, and does not run, as cancelled."""
        message = "The job was cancelled before it began."
        self._store.log(id, message)
        state = self._store.job(id).state
        self._store.write_state(id, dataclasses.replace(state, status=CANCELLED, ended=time.time(), message=message))

    def interrupt(self, id: str) -> None:
        """Mark a job as failed because this process ends."""
        self._store.interrupt(self._store.job(id))

    def run(self, id: str, on_progress: OnProgress = lambda state: None) -> dict[str, Any]:
        """Run a job to its end; blocking. Return its results. Raises PaddockError; the store keeps the error."""
        from modules.jobs.runners import RUNNERS

        job = self._store.job(id)
        with self._store.held(id):
            run = JobRun(id, self._store, self._resources.environments, self._resources.paths.root, on_progress)
            self._store.write_state(id, run.state)
            self._store.log(id, f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {job.spec.title()}")
            try:
                with run, explain_errors(job.spec.title()):
                    results = RUNNERS[job.spec.kind](job.spec, run, self._resources)
                    self._store.write_results(id, results)
            except BaseException as error:
                self._end_badly(id, run, error)
                raise
            self._store.remove_checkpoints(id)
            state = dataclasses.replace(
                run.state, status=FINISHED, fraction=1.0, seconds_left=0.0, ended=time.time(), step=""
            )
            self._store.write_end(id, state)
            self._store.log(id, f"Finished after {run.elapsed():.1f} s")
            return results

    def _end_badly(self, id: str, run: JobRun, error: BaseException) -> None:
        stopped = isinstance(error, (JobCancelled, KeyboardInterrupt))
        message = error.message if isinstance(error, PaddockError) else "The job was cancelled." if stopped else ""
        detail = error.detail if isinstance(error, PaddockError) else ""
        state = dataclasses.replace(
            run.state,
            status=CANCELLED if stopped else FAILED,
            seconds_left=None,
            ended=time.time(),
            message=message or f"Paddock ended ({type(error).__name__}) while this job ran.",
            detail=detail,
        )
        self._store.log(id, f"{state.message}\n{detail}")
        self._store.write_end(id, state)

    def cancel(self, id: str) -> None:
        """Ask the process that runs the job to cancel it. Raises JobError where the job does not run."""
        job = self._store.job(id)
        if job.state.status != RUNNING or not self._store.is_running(id):
            raise JobError(f"Job {id} is not running: it is {job.state.status}. There is nothing to cancel.")
        self._store.request_cancel(id)

    def check_resumable(self, id: str) -> None:
        """Raise JobError where the job cannot be run again now."""
        job = self._store.job(id)
        if job.state.status in (RUNNING, WAITING):
            raise JobError(f"Job {id} is {job.state.status} already. Watch it: {program_name()} jobs show {id}")
        if job.state.status == FINISHED:
            raise JobError(f"Job {id} is finished. Start a new one to repeat it.")

    def rename_model(self, old: str, new: str) -> None:
        """Let all jobs name a model or an adapter by its new name."""
        for job in self._store.jobs():
            if (spec := renamed_spec(job.spec, old, new)) != job.spec:
                self._store.write_spec(job.id, spec)
            results = self._store.results(job.id)
            if (renamed := renamed_results(results, old, new)) != results:
                self._store.write_results(job.id, renamed)

    def list(self) -> list[Job]:
        """Return all jobs, the newest first."""
        return self._store.jobs()

    def job(self, id: str) -> Job:
        """Return one job. Raises JobError."""
        return self._store.job(id)

    def results(self, id: str) -> dict[str, Any]:
        """Return what a job found; {} before its end."""
        return self._store.results(id)

    def training_curve(self, id: str) -> dict[str, Any]:
        """Return {"losses": [[step, loss]], "validation": [[step, loss]], "samples": [{"step", "epoch", "text"}]} of a
        training, also while it runs."""
        results = self._store.results(id)
        if "losses" not in results:
            return self._store.training_curve(id)
        return {name: results[name] for name in ("losses", "validation", "samples")}

    def log(self, id: str) -> str:
        """Return a job's log."""
        return self._store.read_log(id)
