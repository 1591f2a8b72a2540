"""Which loaders can run a model on this machine, best first, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from modules.library.trust import scan_trust
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Machine, ModelFacts


@dataclass(frozen=True)
class RankedLoader:
    """One loader's chance: `score` from 0 to 100; `reason` is a sentence; `runs`: whether it can run the model here."""

    loader: str
    title: str
    score: int
    reason: str
    runs: bool


def rank_loaders(
    facts: ModelFacts, specs: Iterable[LoaderSpec], machine: Machine, aim: str = "balance"
) -> list[RankedLoader]:
    """The loaders that read the model's format and serve its purpose, best first; those that cannot run it here come
    last and say why. `aim` is one of AIMS.

    Hidden loaders are left out. A loader whose spec fails is named with its error and ranks last.
    """
    ranked = [entry for spec in specs if not spec.hidden and (entry := _judge(facts, spec, machine, aim))]
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


def describe_model(facts: ModelFacts, ranked: Iterable[RankedLoader]) -> dict[str, Any]:
    """Facts, evidence, what could run code, and loaders as plain JSON values: what `inspect --json` shows."""
    return {**asdict(facts), "trust": scan_trust(facts), "loaders": [asdict(entry) for entry in ranked]}
