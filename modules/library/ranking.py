"""Which loaders can run a model on this machine, best first, each with its reason; or why none can."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modules.library.known_quantizations import describe_method
from modules.library.trust import scan_trust
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Machine, ModelFacts
from modules.protocol.model_purpose import explain_no_chat, generates_text

# Quantization methods to suggest as a substitute, if a loader reads them.
_COMMON_METHODS = ("awq", "bitsandbytes", "exl2", "gptq", "hqq")


@dataclass(frozen=True)
class RankedLoader:
    """A loader and how well it suits a model.

    `score` goes from 0 to 100. `reason` is a sentence. `runs` is False if the loader cannot run the model here.
    """

    loader: str
    title: str
    score: int
    reason: str
    runs: bool


def rank_loaders(
    facts: ModelFacts,
    specs: Iterable[LoaderSpec],
    machine: Machine | Callable[[LoaderSpec], Machine],
    aim: str = "balance",
) -> list[RankedLoader]:
    """Return the loaders that read the model's format and serve its purpose, best first.

    Loaders that cannot run it here come last, with the reason. Hidden loaders are left out. A loader whose spec raises
    ranks last, with its error. `machine`: one for all loaders, or what returns each loader's. `aim` is one of AIMS.
    """

    def judge(spec: LoaderSpec) -> RankedLoader | None:
        return _judge(facts, spec, machine if isinstance(machine, Machine) else machine(spec), aim)

    ranked = [entry for spec in specs if not spec.hidden and (entry := judge(spec))]
    return sorted(ranked, key=lambda entry: (not entry.runs, -entry.score, entry.loader))


def _judge(facts: ModelFacts, spec: LoaderSpec, machine: Machine, aim: str) -> RankedLoader | None:
    if facts.purpose and facts.purpose not in spec.purposes:
        return None
    reads = facts.format in spec.formats
    try:
        obstacle = spec.machine_problem(machine)
        claim = None if obstacle else spec.claim(facts, machine)
        problems = facts.problems if obstacle else spec.problems(facts, machine)
    except Exception as error:  # a third party's code: its mistake must not hide the other loaders
        return RankedLoader(spec.name, spec.title, 0, f"{spec.title} failed to judge this model ({error!r}).", False)
    if problems:
        return RankedLoader(spec.name, spec.title, 0, problems[0], False) if reads or claim else None
    if claim and claim.runs:
        score = claim.score + (0 if aim == "balance" else getattr(claim, aim))
        return RankedLoader(spec.name, spec.title, max(0, min(100, score)), claim.reason, True)
    if claim:
        return RankedLoader(spec.name, spec.title, 0, claim.reason, False)
    if not reads:
        return None
    return RankedLoader(
        spec.name, spec.title, 0, obstacle or f"{spec.title} cannot run this model on this machine.", False
    )


def explain_no_loader(facts: ModelFacts, ranked: Sequence[RankedLoader], specs: Iterable[LoaderSpec]) -> str:
    """Return why no loader can run the model here, with a next step. `ranked` is the result of `rank_loaders`.

    Returns "" if a loader can run it.
    """
    if any(entry.runs for entry in ranked):
        return ""
    if facts.problems:
        return " ".join(facts.problems)
    if ranked:
        return f"{facts.name} cannot run on this machine: {ranked[0].reason}"
    if not generates_text(facts.purpose):
        return explain_no_chat(facts.name, facts.purpose, facts.architecture)
    return _explain_unclaimed(facts, specs)


def _explain_unclaimed(facts: ModelFacts, specs: Iterable[LoaderSpec]) -> str:
    """Return what was found in a model that no loader claims, who reads it, and what to get in its place."""
    formats = {name for spec in specs if not spec.hidden for name in spec.formats}
    method = next((item for item in facts.evidence if item.fact == "method"), None)
    # A configuration may hold the key quant_method without a name in it; then its place is all that was found.
    source = method or next((item for item in facts.evidence if item.fact == "format"), None)
    if facts.format in formats or not source:
        return f"No loader reads {facts.name} (format: {facts.format}). Get a GGUF or safetensors version of it."
    name, readers = describe_method(method.value if method else "")
    elsewhere = f" Outside of Paddock, {readers} can read it." if readers else ""
    others = sorted(formats.intersection(_COMMON_METHODS))
    return (
        f"The weights of {facts.name} are quantized with {name}, as {source.source} says. No loader here reads that."
        f"{elsewhere} Get the model in full precision, as GGUF, or quantized with one of: {', '.join(others)}."
    )


def describe_model(facts: ModelFacts, ranked: Sequence[RankedLoader], specs: Iterable[LoaderSpec]) -> dict[str, Any]:
    """Return facts, evidence, what could run code, and the loaders, as plain JSON values for `inspect --json`."""
    return {
        **asdict(facts),
        "trust": scan_trust(facts),
        "loaders": [asdict(entry) for entry in ranked],
        "no_loader": explain_no_loader(facts, ranked, specs),
    }
