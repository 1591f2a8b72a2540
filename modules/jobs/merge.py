"""The job that merges a LoRA adapter into its model's weights, or converts it to GGUF for llama.cpp's loaders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.jobs.job_run import JobRun
from modules.jobs.job_spec import JobError, JobSpec
from modules.jobs.model_card import source_hash
from modules.jobs.probe import probe_model
from modules.jobs.quantize import check_space
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
from modules.worker.gguf.lora import write_gguf_adapter

TARGETS = ("folder", "gguf")


@dataclass(frozen=True)
class MergePlan:
    """What a job will do. `file`: the result's name in models/."""

    facts: ModelFacts
    adapter: AdapterFacts
    loader: LoaderSpec
    file: str


def plan_merge(spec: JobSpec, resources: JobResources) -> MergePlan:
    """Return what the job will do. Raises JobError, ModelError, PathError with the next step."""
    if spec.to not in TARGETS:
        raise JobError(f"An adapter cannot be merged to {spec.to!r}. Choose one of: {', '.join(TARGETS)}.")
    facts = resources.library.facts(spec.model)
    check_trainable(facts)
    resources.consents.check(facts)
    adapter = resources.library.adapter(spec.adapter)
    if adapter.format != "peft":
        raise JobError(f"{adapter.name} is a GGUF file already. Choose the adapter's PEFT folder.")
    if why := adapter_mismatch(adapter, facts):
        raise JobError(why)
    loader = choose_trainer(spec.loader, resources)
    base = Path(adapter.name).name
    if spec.to == "gguf":
        file = result_name(resources.models, spec.name, base, ".gguf")
        check_space(resources.models, adapter.size_bytes)
    else:
        file = result_name(resources.models, spec.name, f"{base}-merged")
        check_space(resources.models, facts.size_bytes)
    return MergePlan(facts, adapter, loader, file)


def run_merge(spec: JobSpec, run: JobRun, resources: JobResources) -> dict[str, Any]:
    """Merge or convert. Return {"model": …} for a folder, {"adapter": …} for GGUF. Raises PaddockError; nothing is left
    in models/ then."""
    plan = plan_merge(spec, resources)
    with run.part(0.0, 0.1):
        step = f"Computing the SHA-256 of {plan.facts.name}"
        sha256 = source_hash(Path(plan.facts.path), lambda fraction: run.report(step, fraction))
    card = make_merge_card(plan.facts, sha256, plan.adapter.name, source_hash(Path(plan.adapter.path), lambda _: None))
    with staging_folder(resources.models, plan.file) as folder, run.part(0.1, 1.0):
        if spec.to == "gguf":
            return _convert(plan, folder, card, run, resources)
        return _merge(plan, folder, card, run, resources)


def _merge(plan: MergePlan, folder: Path, card: dict[str, Any], run: JobRun, resources: JobResources) -> dict[str, Any]:
    """Let the loader's worker write the merged model, load it once, and publish it."""
    source, adapter = Path(plan.facts.path), Path(plan.adapter.path)
    variables = resources.consents.variables(plan.facts, plan.loader)
    worker = run.worker(plan.loader, source, [folder], variables, [adapter], background=True)
    with run.part(0.0, 0.7), worker as client:
        command = Merge(client.next_id(), str(source), str(adapter), str(folder))
        answer: dict[str, Any] = client.ask_with_progress(command, run.report)
    with run.part(0.7, 1.0):
        loader = probe_model(detect(folder, plan.file), plan.loader, run, resources)
    card.update(versions=answer["versions"], seconds=round(run.elapsed(), 1))
    write_merge_card(folder, plan.file, card)
    run.report("Moving the model into models/", 1.0)
    publish(folder, resources.models / plan.file)
    return {
        "model": plan.file,
        "loader": loader,
        "source": plan.facts.name,
        "merged_adapter": plan.adapter.name,
        "size_bytes": resources.library.facts(plan.file).size_bytes,
        "seconds": card["seconds"],
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
