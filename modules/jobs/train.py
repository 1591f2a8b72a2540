"""The job that trains a LoRA adapter: checks, data, staging, the worker, one try of the adapter, and the rename."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.families.training_data import TrainingData
from modules.jobs.hub_texts import HUB_TEXTS
from modules.jobs.job_run import JobRun
from modules.jobs.job_spec import JobError, JobSpec
from modules.jobs.model_card import source_hash
from modules.jobs.probe import probe_adapter
from modules.jobs.quantize import check_space
from modules.jobs.resources import JobResources
from modules.jobs.staging import publish, result_name, staging_folder
from modules.jobs.texts import is_named_source
from modules.jobs.training_card import make_training_card, write_adapter_card
from modules.jobs.training_texts import read_training_texts
from modules.library.adapter_files import read_adapter
from modules.library.memory_plan import memory_demand, plan_memory, separate_cards
from modules.protocol.commands import Train
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Machine, ModelFacts
from modules.protocol.schema import build
from modules.system.program_name import program_name

# Formats of a folder whose weights a training can start from.
_SOURCES = ("safetensors", "pickle")
# Beside the adapter, two checkpoints hold it with two moments of the optimizer each, all in 32 bits.
_COPIES = 7
# Wide enough for the layers of one transformer block: four of attention, three of a feed-forward part four times as
# wide as the hidden size.
_WIDTHS = 4 * 2 + 3 * 5
# How the base is held when the adapter is tried: setting Base -> setting Quantization of the loader.
_TRIED_AS = {"nf4": "nf4", "int8": "int8", "16bit": "none"}
_DATA = "data.sha256"


@dataclass(frozen=True)
class TrainPlan:
    """What a job will do. `data`: None where it is downloaded first. `name`: the adapter's name in models/."""

    facts: ModelFacts
    loader: LoaderSpec
    settings: Any
    data: TrainingData | None
    name: str


def plan_train(spec: JobSpec, resources: JobResources) -> TrainPlan:
    """Return what the job will do. Raises JobError, ModelError, SettingError, PathError with the next step."""
    facts = resources.library.facts(spec.model)
    check_trainable(facts)
    loader = choose_trainer(spec.loader, resources)
    assert loader.training is not None
    settings = build(loader.training, spec.settings)
    resources.consents.check(facts)
    if not spec.text:
        sources = ", ".join(["a file", "a folder", *HUB_TEXTS])
        raise JobError(f"There is no data to train on. Name {sources} or a chat (--data).")
    data = None if spec.text in HUB_TEXTS else read_training_texts(spec.text, resources.texts)
    name = result_name(resources.models, spec.name, f"{Path(facts.name).name}-lora")
    check_space(resources.models, 4 * settings.rank * facts.hidden * facts.layers * _WIDTHS * _COPIES)
    return TrainPlan(facts, loader, settings, data, name)


def fits_training(plan: TrainPlan, machine: Machine) -> bool:
    """Return True if the training fits into the memory that is free on this machine, as far as is known before it.

    Beside the base model: weight, gradient and two moments of each weight of the adapter in 32 bits, and for each token
    34 bytes per layer and hidden unit in 16 bits (Korthikanti et al. 2022, "Reducing Activation Recomputation").
    """
    facts, asked = plan.facts, plan.settings
    loading = build(plan.loader.settings, {"quantization": _TRIED_AS[asked.base], "context": max(64, asked.cutoff)})
    demand = memory_demand(facts, plan.loader, loading, machine)
    adapter = 16 * asked.rank * facts.hidden * facts.layers * _WIDTHS
    tokens = asked.batch_size * asked.cutoff
    activations = round(34 * tokens * facts.hidden * facts.layers * (demand.activation or 2) / 2)
    more = adapter + activations + 4 * tokens * facts.vocabulary
    cards = demand.gpu_layers != 0 and bool(separate_cards(machine))
    if cards:
        demand = dataclasses.replace(demand, gpu_process=demand.gpu_process + more)
    else:
        demand = dataclasses.replace(demand, process=demand.process + more)
    return plan_memory(facts, dataclasses.replace(demand, cache_bytes=0), machine).fits


def check_trainable(facts: ModelFacts) -> None:
    """Raise JobError with the next step for a model that no adapter can be trained on or merged into."""
    if facts.problems:
        raise JobError(" ".join(facts.problems))
    if facts.format == "gguf":
        raise JobError(
            f"{facts.name} is a GGUF file, and training needs the model's folder of safetensors. Download that folder. "
            "An adapter trained on it can be converted for the GGUF file: "
            f"{program_name()} merge MODEL ADAPTER --to adapter-gguf"
        )
    if facts.format not in _SOURCES:
        raise JobError(
            f"{facts.name} is quantized already ({facts.format.upper()}). Choose the original, which holds its weights "
            "in 16 or 32 bits. The setting base=nf4 quantizes it while it loads."
        )
    if facts.purpose not in ("", "generate"):
        raise JobError(f"{facts.name} does not write text ({facts.purpose}). Choose a language model.")


def choose_trainer(loader: str, resources: JobResources) -> LoaderSpec:
    """Return the loader that trains: the one named `loader`, else the first. Raises JobError."""
    able = [spec for spec in resources.loaders.offered() if spec.training and loader in ("", spec.name)]
    if not able:
        raise JobError(f"The loader {loader!r} does not train. Leave --loader out.")
    if problem := able[0].machine_problem(resources.environments.machine):
        raise JobError(problem)
    return able[0]


def run_train(spec: JobSpec, run: JobRun, resources: JobResources) -> dict[str, Any]:
    """Train the adapter. Return {"adapter": its name, …}. Raises PaddockError; nothing is left in models/ then."""
    plan = plan_train(spec, resources)
    examples = plan.data or read_training_texts(spec.text, resources.texts, run.report)
    file, sha256 = _write_data(examples, run.scratch)
    resume = _has_checkpoints(run.checkpoints, sha256)
    with run.part(0.0, 0.03):
        step = f"Computing the SHA-256 of {plan.facts.name}"
        model_sha256 = source_hash(Path(plan.facts.path), lambda fraction: run.report(step, fraction))
    broken = len(examples.broken)
    # The card goes with the adapter, so it has no path of this machine.
    source = spec.text if is_named_source(spec.text) else Path(spec.text).name
    data = {"source": source, "sha256": sha256, "examples": len(examples.examples), "broken": broken}
    card = make_training_card(plan.facts, model_sha256, dataclasses.asdict(plan.settings), data)
    with staging_folder(resources.models, plan.name) as folder:
        run.make_room(resources.planner, lambda machine: fits_training(plan, machine))
        with run.part(0.03, 0.92):
            answer = _train(spec, plan, file, folder, resume, run, resources)
        adapter = read_adapter(folder, plan.name)
        if adapter.problems:
            raise JobError(f"{plan.loader.title} ended without an adapter. {' '.join(adapter.problems)}")
        with run.part(0.92, 1.0):
            tried_as = {"quantization": _TRIED_AS[plan.settings.base]}
            probe_adapter(plan.facts, folder, plan.loader, tried_as, run, resources)
        loss = answer["losses"][-1][1] if answer["losses"] else None
        card.update(steps=answer["steps"], loss=loss, versions=answer["versions"], seconds=round(run.elapsed(), 1))
        write_adapter_card(folder, plan.name, card)
        run.report("Moving the adapter into models/", 1.0)
        publish(folder, resources.models / plan.name)
    return {
        "adapter": plan.name,
        "model": plan.facts.name,
        "settings": card["settings"],
        "examples": len(examples.examples),
        "broken": broken,
        "size_bytes": adapter.size_bytes,
        **answer,
        "notes": [*examples.notes(), *answer["notes"]],
        "resumed": resume,
        "seconds": card["seconds"],
    }


def _train(
    spec: JobSpec, plan: TrainPlan, data: Path, folder: Path, resume: bool, run: JobRun, resources: JobResources
) -> dict[str, Any]:
    """Let the loader's worker train and write the adapter into `folder`; return its answer."""
    source = Path(plan.facts.path)
    variables = resources.consents.variables(plan.facts, plan.loader)
    with run.worker(plan.loader, source, [folder, data.parent, run.checkpoints], variables, background=True) as client:
        command = Train(
            client.next_id(),
            str(source),
            plan.facts.name,
            str(folder),
            str(data),
            str(run.checkpoints),
            dict(spec.settings),
            resume,
        )
        answer: dict[str, Any] = client.ask_with_progress(command, run.report)
        return answer


def _write_data(data: TrainingData, folder: Path) -> tuple[Path, str]:
    """Write the examples as JSON Lines into `folder`. Return the file and its SHA-256 (hex)."""
    rows: list[Mapping[str, object]] = [
        {"text": example.text} if example.text else {"messages": list(example.messages)} for example in data.examples
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    file = folder / "data.jsonl"
    file.write_text(text, encoding="utf-8")
    return file, hashlib.sha256(text.encode()).hexdigest()


def _has_checkpoints(folder: Path, sha256: str) -> bool:
    """Return True if there are checkpoints to continue from. Those of a training on other data are removed."""
    mark = folder / _DATA
    if mark.exists() and mark.read_text(encoding="utf-8") != sha256:
        shutil.rmtree(folder)
        folder.mkdir()
    mark.write_text(sha256, encoding="utf-8")
    return any(folder.glob("checkpoint-*"))
