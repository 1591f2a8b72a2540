"""What the loaders that make GPTQ models declare about it. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from modules.families.calibration import CalibrationSettings
from modules.protocol.model_facts import ModelFacts
from modules.protocol.quantization_method import indivisible, sees_images
from modules.protocol.schema import setting


@dataclass(frozen=True)
class GptqSettings(CalibrationSettings):
    """How GPTQ rounds the weights (Frantar et al. 2022, https://arxiv.org/abs/2210.17323)."""

    bits: int = setting(4, label="Bits", choices=(8, 4, 3, 2), help="4 is the usual choice; below it the loss shows.")
    group_size: int = setting(
        128,
        label="Group size",
        choices=(-1, 16, 32, 64, 128, 256, 512, 1024),
        help="Weights that share a scale. Smaller loses less and takes more memory. -1: one scale for a whole row.",
    )
    desc_act: bool = setting(
        False,
        label="Act-order (desc_act)",
        help="Rounds the columns that matter most first. Loses less, and is slower in some kernels.",
    )
    sym: bool = setting(True, label="Symmetric (sym)", help="Off keeps a zero point for each group. Few kernels do.")
    damp_percent: float = setting(
        0.05,
        label="Damping",
        minimum=0.0001,
        maximum=0.9999,
        advanced=True,
        help="Share of the mean of the Hessian's diagonal that is added to it. Raise it if the rounding fails.",
    )


def gptq_obstacle(facts: ModelFacts, settings: GptqSettings) -> str:
    """Return why this model cannot be quantized with these settings; "" where it can."""
    if facts.vision:
        return sees_images(facts, "GPTQ")
    return indivisible(facts, settings)


def gptq_bits(settings: GptqSettings) -> float:
    """Return the bits of a weight: a group has a scale of 16 bits and a zero point."""
    return settings.bits + ((16 + settings.bits) / settings.group_size if settings.group_size > 0 else 0)


def gptq_label(settings: GptqSettings) -> str:
    """Return what the result's name ends with."""
    return f"gptq-{settings.bits}bit"
