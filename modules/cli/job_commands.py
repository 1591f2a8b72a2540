"""`webui.py quantize | evaluate | compare | train | merge | jobs …`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules.app import App
from modules.cli.application import build_app
from modules.cli.job_results import (
    SHOW_RESULTS,
    show_compared,
    show_evaluated,
    show_merged,
    show_plan,
    show_quantized,
    show_trained,
)
from modules.cli.set_option import read_pairs
from modules.cli.terminal import ProgressLine
from modules.jobs.export import export_rows
from modules.jobs.job_spec import JobSpec, JobState
from modules.jobs.store import Job
from modules.jobs.texts import is_named_source
from modules.protocol.errors import PaddockError
from modules.settings.config import Config
from modules.system.program_name import program_name

# Seconds between two lines of progress for a program.
_LINE_SECONDS = 0.25


def quantize(config: Config, arguments: argparse.Namespace) -> int:
    """Make a quantized copy of a model."""
    settings = dict(read_pairs(arguments.set, "bits=4"))
    if settings.get("imatrix", "auto") not in ("auto", "none"):  # a file, which the worker finds from its own folder
        settings["imatrix"] = _absolute(settings["imatrix"])
    spec = JobSpec(
        "quantize",
        arguments.model,
        method=arguments.method,
        loader=arguments.loader,
        name=arguments.name,
        settings=settings,
        text=_text_source(arguments.calibration),
    )
    app = build_app(config)
    try:
        plan = _plan(app, spec, arguments.json)
        if arguments.json:
            print(json.dumps({"type": "plan", **plan}, ensure_ascii=False), flush=True)
        else:
            show_plan(plan)
        return _run(app, app.jobs.start(spec), arguments.json, show_quantized)
    finally:
        app.close()


def evaluate(config: Config, arguments: argparse.Namespace) -> int:
    """Measure a model."""
    spec = JobSpec(
        "evaluate",
        arguments.model,
        loader=arguments.loader,
        settings=dict(read_pairs(arguments.set, "window=512")),
        text=_text_source(arguments.text),
        against=arguments.against,
        tasks=_absolute(arguments.tasks),
    )
    return _run_new(config, spec, arguments.json, show_evaluated)


def compare(config: Config, arguments: argparse.Namespace) -> int:
    """Measure several models on the same text."""
    spec = JobSpec(
        "compare",
        arguments.models_[0],
        loader=arguments.loader,
        settings=dict(read_pairs(arguments.set, "window=512")),
        text=_text_source(arguments.text),
        models=arguments.models_,
        tasks=_absolute(arguments.tasks),
    )

    def export(results: dict[str, object]) -> None:
        if arguments.export is not None:
            export_rows(results, arguments.export)

    return _run_new(config, spec, arguments.json, show_compared, export)


def train(config: Config, arguments: argparse.Namespace) -> int:
    """Train a LoRA adapter for a model."""
    spec = JobSpec(
        "train",
        arguments.model,
        name=arguments.name,
        settings=dict(read_pairs(arguments.set, "rank=8")),
        text=_text_source(arguments.data),
    )
    return _run_new(config, spec, arguments.json, show_trained)


def merge(config: Config, arguments: argparse.Namespace) -> int:
    """Merge a LoRA adapter into its model, or convert it to GGUF."""
    spec = JobSpec(
        "merge",
        arguments.model,
        name=arguments.name,
        settings=dict(read_pairs(arguments.set, "type=Q4_K_M")),
        adapter=arguments.adapter,
        to=arguments.to,
    )
    return _run_new(config, spec, arguments.json, show_merged)


def jobs(config: Config, arguments: argparse.Namespace) -> int:
    """List jobs, show, cancel or resume one."""
    app = build_app(config)
    try:
        if arguments.verb == "list":
            found = [_describe(job) for job in app.jobs.list()]
            print(json.dumps(found, indent=1)) if arguments.json else _show_list(found)
            return 0
        if not arguments.id:
            raise PaddockError(
                f"Name the job: {program_name()} jobs {arguments.verb} ID. List them: {program_name()} jobs list"
            )
        if arguments.verb == "cancel":
            app.jobs.cancel(arguments.id)
            answer = {"type": "cancelled", "job": arguments.id}
            print(json.dumps(answer) if arguments.json else f"Asked job {arguments.id} to stop.")
            return 0
        if arguments.verb == "show":
            job = app.jobs.job(arguments.id)
            row = {**_describe(job), "results": app.jobs.results(job.id), "log": app.jobs.log(job.id)}
            print(json.dumps(row, indent=1, ensure_ascii=False)) if arguments.json else _show_job(row)
            return 0
        app.jobs.check_resumable(arguments.id)
        kind = app.jobs.job(arguments.id).spec.kind
        return _run(app, arguments.id, arguments.json, SHOW_RESULTS[kind])
    finally:
        app.close()


def _plan(app: App, spec: JobSpec, as_json: bool) -> dict[str, object]:
    """Return what the job will take. A trial takes some seconds, so say first that there is one."""
    progress = _JsonProgress() if as_json else _LineProgress()
    try:
        progress(JobState(step=f"Planning: {spec.title()}"))
        return app.jobs.plan(spec, lambda step: progress(JobState(step=step)))
    finally:
        progress.close()


def _text_source(text: str) -> str:
    """Return the name of a text as it is, and a path as one that holds in any folder."""
    return text if not text or is_named_source(text) else _absolute(text)


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""


def _run_new(
    config: Config,
    spec: JobSpec,
    as_json: bool,
    show: Callable[[dict[str, object]], None],
    after: Callable[[dict[str, Any]], None] = lambda results: None,
) -> int:
    app = build_app(config)
    try:
        return _run(app, app.jobs.start(spec), as_json, show, after)
    finally:
        app.close()


def _run(
    app: App,
    id: str,
    as_json: bool,
    show: Callable[[dict[str, object]], None],
    after: Callable[[dict[str, Any]], None] = lambda results: None,
) -> int:
    """Run a job in this process, with its progress on the terminal or as lines of JSON."""
    progress = _JsonProgress(id) if as_json else _LineProgress()
    try:
        results = app.jobs.run(id, progress)
    except PaddockError as error:
        if as_json:
            print(json.dumps({"type": "failed", "job": id, "code": error.code, "message": error.message}), flush=True)
        raise
    finally:
        progress.close()
    after(results)
    if as_json:
        print(json.dumps({"type": "finished", "job": id, **results}, ensure_ascii=False), flush=True)
    else:
        show(results)
    return 0


class _LineProgress:
    """Progress on one line of the terminal, with the time that is left."""

    def __init__(self) -> None:
        self._line = ProgressLine()

    def __call__(self, state: JobState) -> None:
        left = f", {state.seconds_left:.0f} s left" if state.seconds_left is not None else ""
        watched = sys.stderr.isatty()
        self._line(f"{state.step}{left if watched else ''}", state.fraction)

    def close(self) -> None:
        self._line.close()


class _JsonProgress:
    """Progress as one JSON object a line: every new step, and four times a second within one."""

    def __init__(self, id: str | None = None) -> None:
        """`id`: of the job; None while there is none yet."""
        self._id = id
        self._step = ""
        self._written = 0.0

    def __call__(self, state: JobState) -> None:
        if state.step == self._step and time.monotonic() - self._written < _LINE_SECONDS:
            return
        self._step, self._written = state.step, time.monotonic()
        row = {"step": state.step, "fraction": state.fraction, "seconds_left": state.seconds_left}
        print(json.dumps({"type": "progress", "job": self._id, **row}, ensure_ascii=False), flush=True)

    def close(self) -> None:
        """Nothing is left open."""


def _describe(job: Job) -> dict[str, object]:
    return {"id": job.id, **dataclasses.asdict(job.spec), **dataclasses.asdict(job.state), "title": job.spec.title()}


def _show_list(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        done = f"{row['fraction']:.0%}" if row["fraction"] is not None and row["status"] == "running" else ""
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["started"]))
        print(f"{row['id']:>4}  {row['status']:<10} {done:>4}  {started}  {row['title']}")
        if row["message"]:
            print(f"{'':>6}{row['message']}")
    if not rows:
        print(f"There are no jobs yet. Start one: {program_name()} quantize MODEL --method gguf")


def _show_job(row: dict[str, object]) -> None:
    print(f"Job {row['id']}: {row['title']}: {row['status']}. {row['message']}".rstrip())
    if row["results"]:
        print(json.dumps(row["results"], indent=1, ensure_ascii=False))
    print(row["log"])
