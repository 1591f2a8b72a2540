"""What the gptqmodel loader declares about making GPTQ and AWQ models."""

from __future__ import annotations

from dataclasses import dataclass

from modules.families.awq_quantization import AwqSettings, awq_bits, awq_obstacle
from modules.families.calibration import CalibrationSettings
from modules.protocol.model_facts import ModelFacts
from modules.protocol.quantization_method import QuantizationMethod, indivisible
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


def _gptq_obstacle(facts: ModelFacts, settings: GptqSettings) -> str:
    return indivisible(facts, settings.group_size)


def _gptq_bits(settings: GptqSettings) -> float:
    return settings.bits + ((16 + settings.bits) / settings.group_size if settings.group_size > 0 else 0)


GPTQ = QuantizationMethod(
    name="gptq",
    title="GPTQ",
    settings=GptqSettings,
    bits=_gptq_bits,
    label=lambda settings: f"gptq-{settings.bits}bit",
    calibrated=True,
    has_trial=True,
    obstacle=_gptq_obstacle,
)
AWQ = QuantizationMethod(
    name="awq",
    title="AWQ",
    settings=AwqSettings,
    bits=awq_bits,
    label=lambda settings: "awq-4bit",
    calibrated=True,
    has_trial=True,
    obstacle=awq_obstacle,
)
