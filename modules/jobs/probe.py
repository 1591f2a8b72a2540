"""Loads a model that was just made, once, before it gets its place in models/."""

from __future__ import annotations

from pathlib import Path

from modules.jobs.job_run import JobRun
from modules.jobs.job_spec import JobError
from modules.jobs.resources import JobResources
from modules.library.ranking import rank_loaders
from modules.protocol.commands import ApplyAdapter
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import ModelFacts
from modules.protocol.sampling import SamplingParams
from modules.runtime.worker_client import WorkerClient

_PROMPT = "The"
_TOKENS = 8


def probe_model(facts: ModelFacts, maker: LoaderSpec, run: JobRun, resources: JobResources) -> str:
    """Load the model and generate a few tokens. Return the loader's name. Raises PaddockError where it fails."""
    if facts.problems:
        raise JobError(f"The result cannot be loaded: {' '.join(facts.problems)} Choose another method.")
    spec = _choose(facts, maker, resources)
    with run.worker(spec, Path(facts.path), variables=resources.consents.variables(facts, spec)) as client:
        client.load(facts.path, {}, lambda text, fraction: run.report(f"Loading the result: {text}"))
        _generate(client, run)
    return spec.name


def probe_adapter(
    facts: ModelFacts, adapter: Path, spec: LoaderSpec, settings: dict[str, str], run: JobRun, resources: JobResources
) -> None:
    """Load the model `facts` with the loader `spec`, apply the adapter in the folder `adapter`, and generate a few
    tokens. Raises PaddockError where that fails."""
    variables = resources.consents.variables(facts, spec)
    with run.worker(spec, Path(facts.path), variables=variables, read=[adapter]) as client:
        client.load(facts.path, settings, lambda text, fraction: run.report(f"Loading the model: {text}"))
        run.report("Applying the adapter", 0.8)
        client.ask(ApplyAdapter(client.next_id(), {str(adapter): 1.0}), timeout=None)
        _generate(client, run)


def _generate(client: WorkerClient, run: JobRun) -> None:
    run.report("Generating a few tokens with the result", 0.9)
    params = SamplingParams(max_new_tokens=_TOKENS, temperature=0, do_sample=False)
    generation = client.generate(_PROMPT, params)
    for _ in generation.follow():
        run.check()
    if generation.error is not None:
        raise generation.error


def _choose(facts: ModelFacts, maker: LoaderSpec, resources: JobResources) -> LoaderSpec:
    """Return the loader that made the model where it reads it, else the best that is installed."""
    if maker.hidden:  # made for tests: it is never ranked
        return maker
    ranked = rank_loaders(facts, resources.registry.specs.values(), resources.environments.machine)
    able = [resources.registry.get(entry.loader) for entry in ranked if entry.runs]
    if maker in able:
        return maker
    installed = [spec for spec in able if resources.environments.status(spec).installed]
    if not (found := [*installed, *able]):
        reason = ranked[0].reason if ranked else "no loader reads its format."
        raise JobError(f"The result cannot be loaded on this machine: {reason} Choose another method.")
    return found[0]
