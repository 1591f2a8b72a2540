"""What a quantization will take: seconds, memory and disk, before it starts.

The seconds come from an earlier job of the same method on this machine, if its model was of about this size and its
settings the same; else from a trial where the method has one; else from the nearest earlier job. So does the memory
of methods that do not declare what they hold.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from modules.jobs.job_spec import FINISHED
from modules.jobs.quantization_trial import Tried, try_quantization
from modules.jobs.quantize import QuantizePlan, held_bytes
from modules.jobs.resources import JobResources
from modules.jobs.store import JobStore
from modules.jobs.texts import OnStep
from modules.protocol.errors import SettingError
from modules.protocol.quantization_method import QuantizationMethod
from modules.protocol.schema import build

# An earlier model within this factor is of about the same size; beyond the other one, it says nothing.
_NEAR, _FAR = 3.0, 100.0
_CALIBRATION = ("samples", "length")
_TRIED = "Time: from a short trial on this model's weights, without that of the disk."


@dataclass(frozen=True)
class Estimate:
    """What a job will take. None: not known. `how`: where the numbers come from, in sentences."""

    seconds: float | None
    memory_bytes: int | None
    disk_bytes: int
    how: str


@dataclass(frozen=True)
class EarlierJob:
    """A job that quantized by the same method here. `work`: seconds that grow with the model; `rest`: the others."""

    id: str
    model: str
    parameters: int
    work: float
    rest: float
    peak_bytes: int
    settings: dict[str, Any]


def estimate_quantize(plan: QuantizePlan, resources: JobResources, report: OnStep = lambda step: None) -> Estimate:
    """Return what the job will take. It may start a worker for some seconds, which `report` hears of first."""
    earlier = _nearest(plan, resources)
    near = earlier is not None and _ratio(plan, earlier) <= _NEAR
    same = near and earlier is not None and earlier.settings == asdict(plan.settings)
    tried = None if same else try_quantization(plan, resources, report)
    seconds, how = (tried.seconds, _TRIED) if tried else _seconds(plan, earlier, near)
    memory, why = _memory(plan, earlier if near else None, tried, resources)
    rounded = None if seconds is None else float(f"{seconds:.2g}")
    return Estimate(rounded, memory, plan.needed_bytes, f"{how} {why}".strip())


def describe_estimate(estimate: Estimate) -> dict[str, Any]:
    """Return the estimate, ready for JSON."""
    return asdict(estimate)


def _seconds(plan: QuantizePlan, earlier: EarlierJob | None, near: bool) -> tuple[float | None, str]:
    if earlier is None:
        return None, f"Time: not known, as no model was made by {plan.method.name} here yet.{_why_not_tried(plan)}"
    growth = plan.facts.parameters / earlier.parameters
    for name in _CALIBRATION:
        before, now = earlier.settings.get(name), getattr(plan.settings, name, None)
        if isinstance(before, int) and isinstance(now, int) and before > 0:
            growth *= now / before
    rough = "" if near else " It was of another size, so this is rough."
    how = (
        f"Time: from job {earlier.id}, which took {earlier.work + earlier.rest:.0f} s here for {earlier.model}.{rough}"
    )
    return earlier.rest + earlier.work * growth, how


def _why_not_tried(plan: QuantizePlan) -> str:
    return " A trial of its first layer was not possible." if plan.method.has_trial else ""


def _memory(
    plan: QuantizePlan, near: EarlierJob | None, tried: Tried | None, resources: JobResources
) -> tuple[int | None, str]:
    held = held_bytes(plan, resources)
    if held is not None:
        return held, "Memory: the worker, and what the method holds of the model at once."
    if tried is not None and tried.peak_bytes is not None:
        return tried.peak_bytes, "Memory: what the trial took, and the weights of the other layers."
    if near is not None and near.peak_bytes:
        return near.peak_bytes, f"Memory: what job {near.id} took."
    return None, "Memory: not known for this method."


def _nearest(plan: QuantizePlan, resources: JobResources) -> EarlierJob | None:
    """Return the finished job of the same method and loader whose model and settings are nearest; the newest first."""
    if not plan.facts.parameters:
        return None
    wanted = asdict(plan.settings)
    store = JobStore(resources.paths.jobs)
    found: list[EarlierJob] = []
    for job in store.jobs():
        if job.spec.kind != "quantize" or job.state.status != FINISHED or job.spec.method != plan.method.name:
            continue
        results = store.results(job.id)
        work, whole = results.get("work_seconds"), results.get("seconds")
        parameters, maker = results.get("parameters"), results.get("made_by")
        if maker == plan.loader.name and parameters and isinstance(work, (int, float)) and whole is not None:
            settings = results.get("settings") or {}
            if _is_calibrated(plan.method, settings) != plan.method.is_calibrated(plan.settings):
                continue  # with an importance matrix, GGUF takes many times as long
            peak = int(results.get("peak_bytes") or 0)
            found.append(EarlierJob(job.id, job.spec.model, parameters, work, max(0.0, whole - work), peak, settings))
    near = [job for job in found if _ratio(plan, job) <= _FAR]
    return min(
        near, key=lambda job: (_ratio(plan, job) > _NEAR, job.settings != wanted, _ratio(plan, job)), default=None
    )


def _is_calibrated(method: QuantizationMethod, settings: dict[str, Any]) -> bool:
    try:
        return method.is_calibrated(build(method.settings, settings))
    except SettingError:  # of another version of Paddock
        return False


def _ratio(plan: QuantizePlan, job: EarlierJob) -> float:
    """Return by which factor the two models differ in size; 1 or more."""
    ratio = plan.facts.parameters / job.parameters
    return max(ratio, 1 / ratio)
