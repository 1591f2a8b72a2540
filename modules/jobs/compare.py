"""The job that measures several models on the same text, the first of them as the original."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modules.jobs.evaluate import open_evaluation, plan_evaluate, split_settings
from modules.jobs.job_run import JobRun
from modules.jobs.job_spec import JobError, JobSpec
from modules.jobs.resources import JobResources


def plan_compare(spec: JobSpec, resources: JobResources) -> None:
    """Raise PaddockError where there is nothing to compare, or the text or the questions cannot be read."""
    if len(spec.models) < 2:
        raise JobError("Comparing takes two models or more. Choose another one beside the original.")
    plan_evaluate(replace(spec, models=spec.models[1:]), resources)
    if len({*_names(spec)}) < len(spec.models):
        raise JobError(
            "The same model is there twice. Name another one, or let the second be packed while it is loaded: "
            "--loader transformers --set quantization=nf4."
        )


def run_compare(spec: JobSpec, run: JobRun, resources: JobResources) -> dict[str, Any]:
    """Measure all of `spec.models`. Return {"rows": one for each model, "answers": side by side}.

    `spec.loader` and the loader's settings hold for all but the original, which may be among the others again.
    """
    share = 1 / (len(spec.models) + 1)
    rows = []
    session = open_evaluation(spec, run, resources)
    with run.part(0.0, share):
        session.read_original(spec.models[0])
    for number, (name, model) in enumerate(zip(_names(spec), spec.models, strict=True)):
        with run.part((number + 1) * share, (number + 2) * share):
            loader, settings = (spec.loader, spec.settings) if number else ("", {})
            rows.append({**session.measure(model, loader, settings), "model": name})
    answers = []
    for place, original in enumerate(rows[0]["answers"]):
        answers.append(
            {
                "prompt": original["prompt"],
                "answers": {row["model"]: row["answers"][place]["answer"] for row in rows},
            }
        )
    for row in rows:
        row.pop("answers")
    return {"rows": rows, "answers": answers}


def _names(spec: JobSpec) -> list[str]:
    """Return what the table calls each model: its name, with the loader's settings where it has some."""
    _, own = split_settings(spec.settings)
    chosen = [spec.loader] * bool(spec.loader) + [f"{key}={value}" for key, value in own.items()]
    others = [f"{model} ({', '.join(chosen)})" if chosen else model for model in spec.models[1:]]
    return [*spec.models[:1], *others]
