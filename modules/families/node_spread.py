"""How an engine with tensor and pipeline parallelism is spread over machines. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modules.protocol.errors import SettingError
from modules.protocol.model_facts import ModelFacts

# Values of the setting `nodes`.
NODE_CHOICES = ("off", "auto", "pipeline", "tensor")


def spread_over_nodes(facts: ModelFacts, settings: Any, cards: Sequence[int]) -> dict[str, object] | None:
    """Return tensor_parallel, pipeline_parallel and executor, as LoaderSpec.over_nodes says.

    Each machine has the same number of parts. "auto" splits layers inside a machine and spreads them over machines,
    because a network is slow; without cards it splits layers over machines, which is all that a CPU does.
    """
    if settings.nodes == "off" or settings.ray_address:
        return None
    executor = "auto" if len(cards) == 1 else "ray" if settings.executor == "ray" else "mp"
    return {**_parts(facts, settings, cards), "executor": executor}


def _parts(facts: ModelFacts, settings: Any, cards: Sequence[int]) -> dict[str, object]:
    least = min(cards)
    if not least:
        if settings.executor == "ray":
            raise SettingError(
                "vLLM uses Ray only where each machine has a graphics card. Set Executor (executor) to auto."
            )
        if settings.nodes == "pipeline":
            raise SettingError(
                "Nodes (nodes) cannot be pipeline on machines without a graphics card: vLLM's build for the CPU has no "
                "pipeline parallelism. Choose auto or tensor."
            )
        if not _divides(len(cards), facts):
            raise SettingError(_wrong_count(facts, len(cards)))
        return _parallel(len(cards), 1)
    if settings.nodes == "tensor":
        inside = next((count for count in range(least, 0, -1) if _divides(count * len(cards), facts)), 0)
        if not inside:
            raise SettingError(_wrong_count(facts, len(cards)))
        return _parallel(inside * len(cards), 1)
    if facts.layers and facts.layers < len(cards):
        raise SettingError(
            f"{facts.name} has {facts.layers} layers, which {len(cards)} machines cannot share. Remove a node, or "
            "choose tensor for Nodes (nodes)."
        )
    return _parallel(next(count for count in range(least, 0, -1) if _divides(count, facts)), len(cards))


def _parallel(tensor: int, pipeline: int) -> dict[str, object]:
    return {"tensor_parallel": tensor, "pipeline_parallel": pipeline}


def _divides(parts: int, facts: ModelFacts) -> bool:
    """Return True if the attention heads can be shared by so many parts, as far as is known."""
    return facts.heads % parts == 0


def _wrong_count(facts: ModelFacts, machines: int) -> str:
    return (
        f"The {facts.heads} attention heads of {facts.name} cannot be divided over {machines} machines. Remove a node "
        "or let another one join, so that their number divides the heads."
    )
