"""The job that makes a quantized model: checks, staging, the worker, one load of the result, and the rename."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.jobs.job_run import JobRun
from modules.jobs.job_spec import JobError, JobSpec
from modules.jobs.model_card import make_card, source_hash, write_card
from modules.jobs.probe import probe_model
from modules.jobs.resources import JobResources
from modules.jobs.staging import publish, result_name, staging_folder
from modules.jobs.texts import TextRows
from modules.library.detect import detect
from modules.library.sizes import format_size
from modules.protocol.commands import Quantize
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import ModelFacts
from modules.protocol.quantization_method import QuantizationMethod
from modules.protocol.schema import build, describe
from modules.runtime.environment_files import folder_bytes
from modules.runtime.memory_watch import MemoryWatch
from modules.worker.gguf.convert import read_source

# What is kept free beside the result.
_SPARE_BYTES = 64 << 20
# Ways to keep fewer bits, which no method takes as its source.
_QUANTIZED = ("gptq", "awq", "hqq", "bitsandbytes", "compressed-tensors", "exl2", "exl3")


@dataclass(frozen=True)
class QuantizePlan:
    """What a job will do, once nothing is known to be against it. `file`: the result's name in models/; `text`: where
    its calibration text comes from, as in JobSpec."""

    facts: ModelFacts
    loader: LoaderSpec
    method: QuantizationMethod
    settings: Any
    name: str
    file: str
    needed_bytes: int
    text: str = ""


def plan_quantize(spec: JobSpec, resources: JobResources, run: JobRun | None = None) -> QuantizePlan:
    """Return what the job will do. Raises JobError, SettingError, PathError with the next step.

    `run`: of the job, where it has begun: an earlier run may have left checkpoints.
    """
    facts = resources.library.facts(spec.model)
    loader, method = choose_method(spec.method, spec.loader, resources)
    settings = build(method.settings, spec.settings)
    _check_source(facts, method, settings)
    resources.consents.check(facts)
    if method.is_calibrated(settings):
        resources.texts.check_calibration(spec.text, settings)
    base = Path(facts.name).name.removesuffix(".gguf")
    ending = ".gguf" if method.makes_file(settings) else ""
    file = result_name(resources.models, spec.name, f"{base}-{method.label(settings)}", ending)
    needed = _needed_bytes(facts, method, settings)
    check_space(resources.models, needed)
    if method.resumes:
        _check_checkpoints(resources, needed, folder_bytes(run.checkpoints) if run else 0)
    name = file.removesuffix(".gguf") if ending else file
    return QuantizePlan(facts, loader, method, settings, name, file, needed, spec.text)


def choose_method(name: str, loader: str, resources: JobResources) -> tuple[LoaderSpec, QuantizationMethod]:
    """Return the loader that quantizes by the method `name`: the one named `loader`, else an installed one first.

    Raises JobError.
    """
    methods: dict[str, list[tuple[LoaderSpec, QuantizationMethod]]] = {}
    for spec in resources.loaders.offered():
        for method in spec.quantizers:
            methods.setdefault(method.name, []).append((spec, method))
    if name not in methods:
        raise JobError(f"There is no method {name!r}. The methods are: {', '.join(sorted(methods))}.")
    if loader:
        methods[name] = [pair for pair in methods[name] if pair[0].name == loader]
        if not methods[name]:
            raise JobError(f"The loader {loader!r} does not quantize by {name}. Leave --loader out.")
    able = [pair for pair in methods[name] if not pair[0].machine_problem(resources.environments.machine)]
    if not able:
        raise JobError(f"{methods[name][0][0].machine_problem(resources.environments.machine)} Choose another method.")
    status = resources.environments.status

    def order(pair: tuple[LoaderSpec, QuantizationMethod]) -> tuple[int, bool, bool]:
        # A loader that is compiled takes minutes to install; one with a ready wheel is as good.
        return -pair[1].preference, not status(pair[0]).installed, pair[0].compiled

    return min(able, key=order)


def run_quantize(spec: JobSpec, run: JobRun, resources: JobResources) -> dict[str, Any]:
    """Make the model. Return {"model": its name, …}. Raises PaddockError; nothing is left in models/ then."""
    plan = plan_quantize(spec, resources, run)
    calibrated = plan.method.is_calibrated(plan.settings)
    calibration = resources.texts.calibration(spec.text, run.report) if calibrated else None
    with run.part(0.0, 0.05):
        run.report(f"Reading {plan.facts.name}", 0.0)
        step = f"Computing the SHA-256 of {plan.facts.name}"
        sha256 = source_hash(Path(plan.facts.path), lambda fraction: run.report(step, fraction))
    shown = {entry.name: getattr(plan.settings, entry.name) for entry in describe(plan.method.settings)}
    files = plan.method.reads(plan.settings)
    # The card goes with the model, so it has no path of this machine.
    card_settings = {name: Path(value).name if value in files else value for name, value in shown.items()}
    card = make_card(plan.facts, sha256, plan.method, card_settings, calibration)
    with staging_folder(resources.models, plan.name) as folder:
        needed = held_bytes(plan, resources)
        if needed is None:
            needed = plan.facts.size_bytes
        run.make_room(resources.planner, lambda machine: needed <= machine.free_bytes)
        with run.part(0.05, 0.9):
            answer = quantize_in_worker(spec.settings, plan, folder, card, calibration, run, resources)
        card["seconds"] = round(run.elapsed(), 1)
        if plan.method.makes_file(plan.settings):
            staged = folder / plan.file
        else:
            staged = folder
            write_card(folder, plan.name, plan.method.title, card, answer["versions"])
        with run.part(0.9, 1.0):
            found = detect(staged, plan.file)
            loader = probe_model(found, plan.loader, run, resources)
        run.report("Moving the model into models/", 1.0)
        publish(staged, resources.models / plan.file)
    facts = resources.library.facts(plan.file)
    return {
        "model": plan.file,
        "loader": loader,
        "method": plan.method.name,
        "settings": shown,
        "size_bytes": facts.size_bytes,
        "source_size_bytes": plan.facts.size_bytes,
        "bits_per_weight": bits_per_weight(facts),
        "parameters": plan.facts.parameters,
        "made_by": plan.loader.name,
        "seconds": round(run.elapsed(), 1),
        "work_seconds": answer["work_seconds"],
        "peak_bytes": answer["peak_bytes"],
        "versions": answer["versions"],
        "notes": [*answer["notes"], *(calibration.notes() if calibration else [])],
    }


def held_bytes(plan: QuantizePlan, resources: JobResources) -> int | None:
    """Return the bytes of main memory that the worker and what the method holds of the model take; None where the
    method does not say it."""
    held = plan.method.held(plan.facts, plan.settings)
    if held is None:
        return None
    make = plan.loader.memory
    return held + (make(plan.facts, plan.loader.settings(), resources.environments.machine).process if make else 0)


def bits_per_weight(facts: ModelFacts) -> float:
    """Return the bits on disk for each weight of the model; 0 where its weights cannot be counted."""
    path = Path(facts.path)
    if not facts.parameters:
        return 0.0
    size = facts.size_bytes
    if path.is_dir():
        size = sum(file.stat().st_size for file in path.iterdir() if file.suffix in (".safetensors", ".bin", ".pt"))
    return round(8 * size / facts.parameters, 3)


def quantize_in_worker(
    settings: Mapping[str, str],
    plan: QuantizePlan,
    folder: Path,
    card: dict[str, Any],
    calibration: TextRows | None,
    run: JobRun,
    resources: JobResources,
) -> dict[str, Any]:
    """Let the loader's worker write the model into `folder`; return its answer. `settings`: as they were given."""
    source, method = Path(plan.facts.path), plan.method
    variables = resources.consents.variables(plan.facts, plan.loader)
    checkpoints = [run.checkpoints] if method.resumes else []
    measurements = [resources.paths.measurements / method.name] if method.measures else []
    write, read = [folder, *checkpoints, *measurements], [Path(path) for path in method.reads(plan.settings)]
    resumed = any(any(kept.iterdir()) for kept in checkpoints)
    begin = 0.0

    def report(step: str, fraction: float | None) -> None:
        nonlocal begin
        begin = begin or time.monotonic()  # before its first report, a worker imports its engine
        run.report(step, fraction)

    with run.worker(plan.loader, source, write, variables, read, background=True) as client:
        watch = MemoryWatch(client.process.pid, str(source))
        command = Quantize(
            client.next_id(),
            method.name,
            str(source),
            str(folder),
            plan.name,
            dict(settings),
            calibration.rows if calibration else [],
            card,
            "".join(map(str, checkpoints)),
            "".join(map(str, measurements)),
        )
        try:
            answer: dict[str, Any] = client.ask_with_progress(command, report)
            answer["peak_bytes"] = watch.peak_so_far()
        finally:
            watch.close()
        # The time of a part says nothing about later jobs.
        work = time.monotonic() - begin if begin else 0.0
        answer["work_seconds"] = None if resumed else round(work, 2)
    if folder_bytes(folder) == 0:
        raise JobError(f"{plan.loader.title} ended without a result. The log says more. Choose another method.")
    return answer


def _check_source(facts: ModelFacts, method: QuantizationMethod, settings: Any) -> None:
    if facts.problems:
        raise JobError(" ".join(facts.problems))
    if facts.format in _QUANTIZED:
        raise JobError(
            f"{facts.name} is quantized already ({facts.format.upper()}), and quantizing twice loses more than once. "
            "Choose the original, which holds its weights in 16 or 32 bits."
        )
    if facts.purpose not in ("", "generate"):
        raise JobError(f"{facts.name} does not write text ({facts.purpose}). {method.title} takes language models.")
    if facts.format not in method.sources:
        raise JobError(
            f"{facts.name} has the format {facts.format}, and {method.title} starts from "
            f"{' or '.join(method.sources)}. Choose the original folder."
        )
    if obstacle := method.obstacle(facts, settings):
        raise JobError(obstacle)
    if method.name == "gguf" and facts.format == "safetensors":
        read_source(Path(facts.path), facts.name, {})  # it names what a GGUF file cannot hold


def _needed_bytes(facts: ModelFacts, method: QuantizationMethod, settings: Any) -> int:
    """Return the bytes that the result takes, and those of copies that lie beside it until its end."""
    bits = method.bits(settings)
    if not facts.parameters:
        return facts.size_bytes
    if method.single_file:  # as a file or as its parts
        return int(facts.parameters * bits / 8) + facts.size_bytes
    others = facts.parameters - facts.layer_parameters
    copies = 2 if method.keeps_layers else 1
    return int(copies * (facts.layer_parameters * bits / 8 + others * 2))


def check_space(folder: Path, needed: int, what: str = "The result", flag: str = "--models") -> None:
    """Raise JobError unless `needed` bytes are free in `folder`, and a little more. `flag`: puts it elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise JobError(
            f"{what} needs about {format_size(needed)} in {folder}, and {format_size(free)} are free. Free some disk "
            f"space, or choose another folder with {flag}."
        )


def _check_checkpoints(resources: JobResources, needed: int, kept: int) -> None:
    """Raise JobError unless there is room for the parts of the result, which a job that resumes keeps until its end.

    `kept`: bytes of the parts that an earlier run left, which are on the disk already.
    """
    jobs, models = resources.paths.jobs, resources.models
    jobs.mkdir(parents=True, exist_ok=True)
    result = needed if jobs.stat().st_dev == models.stat().st_dev else 0
    check_space(jobs, max(0, needed - kept) + result, "This job", "--user-data")


def describe_plan(plan: QuantizePlan) -> dict[str, Any]:
    """Return the plan, ready for JSON."""
    return {
        "model": plan.file,
        "loader": plan.loader.name,
        "method": plan.method.name,
        "settings": dataclasses.asdict(plan.settings),
        "needed_bytes": plan.needed_bytes,
    }
