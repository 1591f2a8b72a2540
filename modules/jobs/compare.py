"""The job that measures several models on the same text, the first of them as the original."""

from __future__ import annotations

from typing import Any

from modules.jobs.evaluate import open_evaluation, plan_evaluate
from modules.jobs.job_run import JobRun
from modules.jobs.job_spec import JobError, JobSpec
from modules.jobs.resources import JobResources


def plan_compare(spec: JobSpec, resources: JobResources) -> None:
    """Raise PaddockError where there is nothing to compare, or the text or the questions cannot be read."""
    if len(spec.models) < 2:
        raise JobError("Comparing takes two models or more. Choose another one beside the original.")
    plan_evaluate(spec, resources)


def run_compare(spec: JobSpec, run: JobRun, resources: JobResources) -> dict[str, Any]:
    """Measure all of `spec.models`. Return {"rows": one for each model, "answers": side by side}."""
    share = 1 / (len(spec.models) + 1)
    rows = []
    session = open_evaluation(spec, run, resources)
    with run.part(0.0, share):
        session.read_original(spec.models[0])
    for number, model in enumerate(spec.models, 1):
        with run.part(number * share, (number + 1) * share):
            rows.append(session.measure(model, "", spec.settings))
    answers = []
    for place, original in enumerate(rows[0].pop("answers")):
        others = {spec.models[0]: original["answer"]}
        others.update({row["model"]: row["answers"][place]["answer"] for row in rows[1:]})
        answers.append({"prompt": original["prompt"], "answers": others})
    for row in rows[1:]:
        row.pop("answers")
    return {"rows": rows, "answers": answers}
