"""What the specs of loaders that only make models share: they load none, so they set and claim nothing."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.model_facts import Claim, Machine, ModelFacts


@dataclass(frozen=True)
class NoSettings:
    """The loader loads no model, so there is nothing to set."""


def claim_nothing(facts: ModelFacts, machine: Machine) -> Claim | None:
    """Claim no model."""
    return None
