"""The job that merges a LoRA adapter into its model's weights, or converts the adapter to GGUF for llama.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.families.gguf_tensor_types import FULL_PRECISION
from modules.jobs.job_run import JobRun
from modules.jobs.job_spec import JobError, JobSpec
from modules.jobs.model_card import source_hash
from modules.jobs.probe import probe_model
from modules.jobs.quantize import QuantizePlan, check_space, choose_method, quantize_in_worker
from modules.jobs.resources import JobResources
from modules.jobs.staging import publish, result_name, staging_folder
from modules.jobs.train import check_trainable, choose_trainer
from modules.jobs.training_card import make_merge_card, write_merge_card
from modules.library.adapter_files import adapter_mismatch, read_adapter
from modules.library.detect import detect
from modules.protocol.adapter_facts import AdapterFacts
from modules.protocol.commands import Merge
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import ModelFacts
from modules.protocol.quantization_method import QuantizationMethod
from modules.protocol.schema import build
from modules.worker.gguf.convert import read_source
from modules.worker.gguf.lora import write_gguf_adapter

# A model folder, a model as GGUF, or the adapter alone as GGUF.
TARGETS = ("folder", "gguf", "adapter-gguf")


@dataclass(frozen=True)
class MergePlan:
    """What a job will do. `file`: the result's name in models/. `gguf`: how a GGUF model is written."""

    facts: ModelFacts
    adapter: AdapterFacts
    loader: LoaderSpec
    file: str
    gguf: GgufStep | None = None


@dataclass(frozen=True)
class GgufStep:
    """How the merged folder is written as GGUF. `settings`: as `quantize --method gguf` takes them."""

    loader: LoaderSpec
    method: QuantizationMethod
    settings: dict[str, str]

    @property
    def ending(self) -> str:
        """ ".gguf", or "" for a folder of parts."""
        return ".gguf" if self.method.makes_file(build(self.method.settings, self.settings)) else ""


def plan_merge(spec: JobSpec, resources: JobResources) -> MergePlan:
    """Return what the job will do. Raises JobError, ModelError, PathError with the next step."""
    if spec.to not in TARGETS:
        raise JobError(f"An adapter cannot be merged to {spec.to!r}. Choose one of: {', '.join(TARGETS)}.")
    if spec.settings and spec.to != "gguf":
        raise JobError("The settings of merge are those of a GGUF file. Leave --set out, or add --to gguf.")
    facts = resources.library.facts(spec.model)
    check_trainable(facts)
    resources.consents.check(facts)
    adapter = resources.library.adapter(spec.adapter)
    if adapter.format != "peft":
        raise JobError(f"{adapter.name} is a GGUF file already. Choose the adapter's PEFT folder.")
    if why := adapter_mismatch(adapter, facts):
        raise JobError(why)
    loader = choose_trainer(spec.loader, resources)
    base, step = Path(adapter.name).name, None
    if spec.to == "adapter-gguf":
        file = result_name(resources.models, spec.name, base, ".gguf")
        check_space(resources.models, adapter.size_bytes)
    elif spec.to == "gguf":
        step = _plan_gguf(spec, facts, resources)
        file = result_name(resources.models, spec.name, f"{base}-merged", step.ending)
        check_space(resources.models, 2 * facts.size_bytes)
    else:
        file = result_name(resources.models, spec.name, f"{base}-merged")
        check_space(resources.models, facts.size_bytes)
    return MergePlan(facts, adapter, loader, file, step)


def _plan_gguf(spec: JobSpec, facts: ModelFacts, resources: JobResources) -> GgufStep:
    """Return how the merged model is written: unless a type is set, with weights as they are."""
    loader, method = choose_method("gguf", "", resources)
    settings = {"type": facts.dtype if facts.dtype in FULL_PRECISION else "F16", **spec.settings}
    values = build(method.settings, settings)
    if obstacle := method.obstacle(facts, values):
        raise JobError(obstacle)
    if method.is_calibrated(values):
        resources.texts.check_calibration(spec.text, values)
    # A model that GGUF cannot hold is refused before it is merged.
    read_source(Path(facts.path), facts.name, {})
    return GgufStep(loader, method, settings)


def run_merge(spec: JobSpec, run: JobRun, resources: JobResources) -> dict[str, Any]:
    """Merge or convert. Return {"model": …}, or {"adapter": …} for an adapter alone. Raises PaddockError; nothing is
    left in models/ then."""
    plan = plan_merge(spec, resources)
    with run.part(0.0, 0.1):
        step = f"Computing the SHA-256 of {plan.facts.name}"
        sha256 = source_hash(Path(plan.facts.path), lambda fraction: run.report(step, fraction))
    card = make_merge_card(plan.facts, sha256, plan.adapter.name, source_hash(Path(plan.adapter.path), lambda _: None))
    with staging_folder(resources.models, plan.file) as folder, run.part(0.1, 1.0):
        if spec.to == "adapter-gguf":
            return _convert(plan, folder, card, run, resources)
        if plan.gguf:
            return _merge_to_gguf(spec, plan, plan.gguf, folder, card, run, resources)
        return _merge(plan, folder, card, run, resources)


def _merge(plan: MergePlan, folder: Path, card: dict[str, Any], run: JobRun, resources: JobResources) -> dict[str, Any]:
    """Let the loader's worker write the merged model, load it once, and publish it."""
    with run.part(0.0, 0.7):
        answer = _merge_weights(plan, folder, run, resources)
    with run.part(0.7, 1.0):
        loader = probe_model(detect(folder, plan.file), plan.loader, run, resources)
    card.update(versions=answer["versions"], seconds=round(run.elapsed(), 1))
    write_merge_card(folder, plan.file, card)
    return _published(plan, folder, loader, answer, run, resources)


def _merge_to_gguf(
    spec: JobSpec,
    plan: MergePlan,
    gguf: GgufStep,
    folder: Path,
    card: dict[str, Any],
    run: JobRun,
    resources: JobResources,
) -> dict[str, Any]:
    """Merge into a folder that does not stay, write that as GGUF, load it once, and publish it."""
    merged, target = folder / "merged", folder / "gguf"
    merged.mkdir()
    target.mkdir()
    with run.part(0.0, 0.4):
        answer = _merge_weights(plan, merged, run, resources)
    card.update(versions=answer["versions"], settings=gguf.settings)
    with run.part(0.4, 0.8):
        facts = detect(merged, plan.file)
        values = build(gguf.method.settings, gguf.settings)
        calibrated = gguf.method.is_calibrated(values)
        calibration = resources.texts.calibration(spec.text, run.report) if calibrated else None
        name = plan.file.removesuffix(".gguf")
        source = QuantizePlan(facts, gguf.loader, gguf.method, values, name, plan.file, 0)
        made = quantize_in_worker(gguf.settings, source, target, card, calibration, run, resources)
    staged = target / plan.file if gguf.ending else target
    with run.part(0.8, 1.0):
        loader = probe_model(detect(staged, plan.file), gguf.loader, run, resources)
    both = {"versions": {**answer["versions"], **made["versions"]}, "notes": [*answer["notes"], *made["notes"]]}
    return {**_published(plan, staged, loader, both, run, resources), "settings": gguf.settings}


def _merge_weights(plan: MergePlan, folder: Path, run: JobRun, resources: JobResources) -> dict[str, Any]:
    source, adapter = Path(plan.facts.path), Path(plan.adapter.path)
    variables = resources.consents.variables(plan.facts, plan.loader)
    with run.worker(plan.loader, source, [folder], variables, [adapter], background=True) as client:
        command = Merge(client.next_id(), str(source), str(adapter), str(folder))
        answer: dict[str, Any] = client.ask_with_progress(command, run.report)
    return answer


def _published(
    plan: MergePlan, staged: Path, loader: str, answer: dict[str, Any], run: JobRun, resources: JobResources
) -> dict[str, Any]:
    """Give the staged model its place in models/; return the results."""
    run.report("Moving the model into models/", 1.0)
    publish(staged, resources.models / plan.file)
    return {
        "model": plan.file,
        "loader": loader,
        "source": plan.facts.name,
        "merged_adapter": plan.adapter.name,
        "size_bytes": resources.library.facts(plan.file).size_bytes,
        "seconds": round(run.elapsed(), 1),
        **answer,
    }


def _convert(
    plan: MergePlan, folder: Path, card: dict[str, Any], run: JobRun, resources: JobResources
) -> dict[str, Any]:
    """Write the adapter as one GGUF file, read it once, and publish it. No engine is needed."""
    staged = folder / plan.file
    source, adapter = Path(plan.facts.path), Path(plan.adapter.path)
    write_gguf_adapter(adapter, source, plan.facts.name, staged, card, run.report)
    found = read_adapter(staged, plan.file)
    if why := adapter_mismatch(found, plan.facts):
        raise JobError(why)
    run.report("Moving the adapter into models/", 1.0)
    publish(staged, resources.models / plan.file)
    return {
        "adapter": plan.file,
        "source": plan.facts.name,
        "merged_adapter": plan.adapter.name,
        "size_bytes": found.size_bytes,
        "seconds": round(run.elapsed(), 1),
        "notes": [],
    }
