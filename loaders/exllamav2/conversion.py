"""The steps by which ExLlamaV2 makes an EXL2 model, and the file from which a stopped job continues.

The order is that of the engine's own convert_exl2.py, version 0.3.2. That script cuts its calibration text into tokens
by its own rules; here the rows are tokens already, made as for every other method.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What the engine's functions read and write: settings, paths, and how far they are.
Job = dict[str, Any]
Save = Callable[[], None]
Model = Any
_FILE = "job.json"
# A job's largest file of weights, in MB.
_SHARD_SIZE = 8192
# Stages by the engine's names: the share of the whole work at which each ends, with a measurement and without.
_ENDS = {
    True: {"Measuring": 0.6, "Optimizing": 0.62, "Quantizing": 0.96, "Compiling": 1.0},
    False: {"Measuring": 0.0, "Optimizing": 0.05, "Quantizing": 0.9, "Compiling": 1.0},
}


@dataclass(frozen=True)
class Steps:
    """The engine's functions. `model`: makes a model without weights (True: for the measurement), and frees it at the
    end. `write_rows`: stores rows of tokens, all of the same length, as a tensor input_ids."""

    model: Callable[[bool], AbstractContextManager[Model]]
    write_rows: Callable[[Sequence[Sequence[int]], Path], None]
    embeddings: Callable[[Job, Save, Model], None]
    measure: Callable[[Job, Save, Model], None]
    optimize: Callable[[Job, Save, Model], None]
    quantize: Callable[[Job, Save, Model], None]
    compile: Callable[[Job, Save, Model], None]


@dataclass(frozen=True)
class Request:
    """What to make. `rows`: the calibration text in tokens, and `measured_rows`: how many of them are measured with.

    `text`: the name of the calibration text. `identity`: differs where an earlier run made something else.
    `measurement`: where the measurement of this model and text is kept."""

    bits: float
    head_bits: int
    rows: Sequence[Sequence[int]]
    measured_rows: int
    text: str
    identity: str
    measurement: Path
    target: Path


def begin(request: Request, folder: Path) -> Job:
    """Return the job in `folder`: as an earlier run left it, or a new one. What another request left is removed."""
    job = _read(folder / _FILE)
    if job.get("identity") != request.identity:
        shutil.rmtree(folder, ignore_errors=True)
        job = _new(request)
    elif job.pop("invalid", False):
        # It was killed between two files that belong together: the step begins again.
        for key in ("last_module_idx", "measurement") if job["progress"] == "measure" else ("q_last_module_idx",):
            job.pop(key, None)
        job["progress"] = "begin" if job["progress"] == "measure" else "optimize"
    (folder / "out_tensor").mkdir(parents=True, exist_ok=True)
    # The folders of an earlier run may have been others.
    return {
        **job,
        "out_dir": str(folder),
        "cal_filename": str(folder / "cal_data.safetensors"),
        "compile_full": str(request.target),
    }


def convert(job: Job, request: Request, steps: Steps) -> None:
    """Do what is left of `job`, and write the model into `request.target`."""
    file = Path(job["out_dir"]) / _FILE

    def save() -> None:
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps(job), encoding="utf-8")
        temporary.replace(file)

    def do(step: Callable[[Job, Save, Model], None], measuring: bool = False) -> None:
        with steps.model(measuring) as model:
            step(job, save, model)

    def prepare(rows: Sequence[Sequence[int]]) -> None:
        steps.write_rows(rows, Path(job["cal_filename"]))
        do(steps.embeddings)

    if job["progress"] == "begin":
        if kept := _read(request.measurement):
            job.update(kept, reused=True, progress="optimize")
        else:
            prepare(request.rows[: request.measured_rows])
            job["progress"] = "measure"
        save()
    if job["progress"] == "measure":
        do(steps.measure, measuring=True)
        _keep({key: job[key] for key in ("measurement", "last_module_idx")}, request.measurement)
        job["progress"] = "optimize"
        save()
    if job["progress"] == "optimize":
        do(steps.optimize)
        prepare(request.rows)
        job["progress"] = "quantize"
        save()
    if job["progress"] == "quantize":
        do(steps.quantize)
        job["progress"] = "compile"
        save()
    do(steps.compile)


def whole_fraction(job: Job, stage: str, done: int, total: int) -> float | None:
    """Return how much of the whole work is done at `done` of `total` of a stage that the engine reports, if known."""
    ends = _ENDS[not job["reused"]]
    if stage not in ends:
        return None
    names = list(ends)
    begins = ends[names[names.index(stage) - 1]] if stage != names[0] else 0.0
    return begins + (ends[stage] - begins) * done / max(1, total)


def _new(request: Request) -> Job:
    return {
        "identity": request.identity,
        "progress": "begin",
        "reused": False,
        "bits": request.bits,
        "head_bits": request.head_bits,
        "dataset_rows": len(request.rows),
        "measurement_rows": min(request.measured_rows, len(request.rows)),
        "length": len(request.rows[0]),
        # The engine writes its name into config.json.
        "cal_dataset": request.text,
        "shard_size": _SHARD_SIZE,
        "output_measurement": None,
        "status_output": True,
    }


def _keep(measurement: Job, file: Path) -> None:
    """Store a measurement for other jobs, all of it or nothing."""
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(measurement), encoding="utf-8")
    temporary.replace(file)


def _read(file: Path) -> Job:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
