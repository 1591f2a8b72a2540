"""What the hqq loader declares about saving models that HQQ packed."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.model_facts import ModelFacts
from modules.protocol.quantization_method import QuantizationMethod, indivisible
from modules.protocol.schema import setting


@dataclass(frozen=True)
class HqqSettings:
    """How HQQ packs the weights."""

    bits: int = setting(
        4, label="Bits", choices=(8, 4, 3, 2, 1), help="4 is the usual choice; below it the loss shows."
    )
    group_size: int = setting(
        64,
        label="Group size",
        choices=(8, 16, 32, 64, 128, 256, 512, 1024),
        help="Weights that share a scale. Smaller loses less and takes more memory.",
    )
    axis: int = setting(
        1, label="Axis", choices=(0, 1), advanced=True, help="1 groups along the input, as fast kernels want it."
    )


def _obstacle(facts: ModelFacts, settings: HqqSettings) -> str:
    return indivisible(facts, settings)


def _bits(settings: HqqSettings) -> float:
    """3 bits are stored as ten of them in 32 bits; a group has a scale and a zero point of 16 bits."""
    return (3.2 if settings.bits == 3 else settings.bits) + 32 / settings.group_size


def _held(facts: ModelFacts, settings: HqqSettings) -> int:
    """The packed layers, the rest in its own type, and one matrix as floats with its errors."""
    others = facts.parameters - facts.layer_parameters
    packed = facts.layer_parameters * _bits(settings) / 8
    return int(packed) + 2 * others + 16 * facts.hidden * max(facts.intermediate, facts.hidden)


HQQ = QuantizationMethod(
    name="hqq",
    title="HQQ",
    settings=HqqSettings,
    bits=_bits,
    label=lambda settings: f"hqq-{settings.bits}bit",
    held=_held,
    has_trial=True,
    obstacle=_obstacle,
)
