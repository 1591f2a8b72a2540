"""What does each kind of job, and what checks it before it is stored."""

from __future__ import annotations

from collections.abc import Callable

from modules.jobs.compare import plan_compare, run_compare
from modules.jobs.evaluate import plan_evaluate, run_evaluate
from modules.jobs.job_run import JobRun
from modules.jobs.job_spec import JobSpec
from modules.jobs.merge import plan_merge, run_merge
from modules.jobs.quantize import plan_quantize, run_quantize
from modules.jobs.resources import JobResources
from modules.jobs.train import plan_train, run_train

RUNNERS: dict[str, Callable[[JobSpec, JobRun, JobResources], dict[str, object]]] = {
    "quantize": run_quantize,
    "evaluate": run_evaluate,
    "compare": run_compare,
    "train": run_train,
    "merge": run_merge,
}
PLANNERS: dict[str, Callable[[JobSpec, JobResources], object]] = {
    "quantize": plan_quantize,
    "evaluate": plan_evaluate,
    "compare": plan_compare,
    "train": plan_train,
    "merge": plan_merge,
}
