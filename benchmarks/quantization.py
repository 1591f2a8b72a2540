"""The demo model by every quantization method that this machine can run: each is made, measured against the original,
and loaded with every installed loader that reads it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.quantization_table import KEYS, Row
from benchmarks.server import ROOT
from modules.app import App
from modules.cli.application import build_app
from modules.jobs.job_spec import JobSpec, JobState
from modules.library.ranking import rank_loaders
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.settings.config import Config

ORIGINAL = "demo"
# Takes minutes to start on a CPU, for each model.
_SLOW_LOADERS = ("vllm",)
_PROBE_TOKENS = 8
# Checks that say something about a loader and a processor, not about what a method lost.
_OF_THE_LOAD = ("memory", "speed")


@dataclass(frozen=True)
class Case:
    """One way to quantize. `maker`: the loader that does it; "" takes the best."""

    name: str
    method: str
    settings: dict[str, str] = field(default_factory=dict)
    maker: str = ""


_GGUF_TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
CASES = (
    Case("8-bit (bitsandbytes)", "bnb", {"type": "int8"}),
    Case("NF4", "bnb", {"type": "nf4"}),
    Case("FP4", "bnb", {"type": "fp4"}),
    *(Case(f"GPTQ, {bits} bits", "gptq", {"bits": str(bits)}) for bits in (8, 4, 3, 2)),
    Case("GPTQ, 4 bits, act-order", "gptq", {"desc_act": "true"}),
    Case("AWQ by GPTQModel", "awq", maker="gptqmodel"),
    Case("AWQ by AutoAWQ", "awq", maker="autoawq"),
    *(Case(f"HQQ, {bits} bits", "hqq", {"bits": str(bits)}) for bits in (8, 4, 3, 2, 1)),
    Case("W8A8", "w8a8"),
    *(Case(f"GGUF {kind}", "gguf", {"type": kind}) for kind in _GGUF_TYPES),
    Case("GGUF IQ2_XS", "gguf", {"type": "IQ2_XS", "imatrix": "auto"}),
)


def run(names: Sequence[str] = (), evaluation: Mapping[str, str] | None = None) -> Iterator[Row]:
    """Yield a row for the original and for each case. A case that cannot be made or measured is named on stderr.

    `names`: parts of the names of the cases to run; none: all. `evaluation`: settings of the evaluation.
    """
    cases = [case for case in CASES if not names or any(name.lower() in case.name.lower() for name in names)]
    yield from run_cases(cases, dict(evaluation or {}))


def run_cases(cases: Sequence[Case], evaluation: dict[str, str]) -> Iterator[Row]:
    """Yield the rows of `cases`."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # several threads are slower for a model of this size
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        models = Path(name) / "models"
        models.mkdir()
        (models / ORIGINAL).symlink_to(ROOT / "models" / ORIGINAL)
        app = build_app(Config(ROOT, port=0, models=models, user_data=Path(name) / "user"))
        stack.callback(app.close)
        first = True
        # The original is read once for each method, so that a failure costs the rows of one method only.
        for _, group in groupby(cases, lambda case: case.method):
            made = [(case.name, result) for case in group if (result := _made(app, case))]
            for row in _measured(app, made, evaluation):
                if row.fields["case"] != ORIGINAL or first:
                    yield row
                first = False
            # It would take memory and a core from the next method.
            app.supervisor.unload()


def _made(app: App, case: Case) -> dict[str, Any]:
    """Quantize, and return the job's result; {} where that fails."""
    name = f"{ORIGINAL}-{len(app.jobs.list())}"
    spec = JobSpec("quantize", ORIGINAL, case.method, name, case.maker, case.settings)
    return _finished(app, case.name, spec)


def _measured(app: App, made: Sequence[tuple[str, dict[str, Any]]], settings: dict[str, str]) -> Iterator[Row]:
    """Yield a row for the original and for each (case's name, result of its job)."""
    if not made:
        return
    models = [ORIGINAL, *(result["model"] for _, result in made)]
    rows = _finished(app, "evaluation", JobSpec("compare", ORIGINAL, models=models, settings=settings)).get("rows", [])
    for (case, result), row in zip([(ORIGINAL, {}), *made], rows, strict=False):
        failed = [check["name"] for check in row["checks"] if not check["passed"] and check["name"] not in _OF_THE_LOAD]
        measured = {key: row.get(key) for key in KEYS}
        found = {"loads_with": _loads_with(app, row), "quantize_seconds": result.get("seconds")}
        yield Row({"case": case, **measured, "failed_checks": failed, **found})


def _finished(app: App, what: str, spec: JobSpec) -> dict[str, Any]:
    print(f"{what}: {spec.title()}", file=sys.stderr)
    steps: list[str] = []

    def show(state: JobState) -> None:
        if state.step not in steps[-1:]:
            steps.append(state.step)

    try:
        return app.jobs.run(app.jobs.start(spec), show)
    except PaddockError as error:
        last = f" (while: {steps[-1]})" if steps else ""
        print(f"{what}: left out{last}. {error.message}\n{error.detail}".rstrip(), file=sys.stderr)
        return {}


def _loads_with(app: App, row: dict[str, Any]) -> list[str]:
    """Return the installed loaders that load the model and generate some tokens, the one that was measured first."""
    facts = app.library.facts(row["model"])
    ranked = rank_loaders(facts, app.registry.specs.values(), app.environments.machine)
    able = [row["loader"]]
    for entry in ranked:
        spec = app.registry.get(entry.loader)
        if not entry.runs or entry.loader in (*able, *_SLOW_LOADERS) or not app.environments.status(spec).installed:
            continue
        try:
            app.models.load(facts.name, entry.loader, {})
            params = SamplingParams(max_new_tokens=_PROBE_TOKENS, do_sample=False, ban_eos_token=True)
            generation = app.supervisor.generate("The", params)
            text = "".join(generation.follow())
            if generation.error is not None:
                raise generation.error
        except PaddockError as error:
            print(f"{row['model']} with {entry.loader}: {error.message}\n{error.detail}", file=sys.stderr)
            continue
        if text:
            able.append(entry.loader)
    return able
