"""What the loaders that make AWQ models declare about it. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from modules.families.calibration import CalibrationSettings
from modules.protocol.model_facts import ModelFacts
from modules.protocol.quantization_method import indivisible, sees_images
from modules.protocol.schema import setting

# Rows of a matrix for which the engines search the clipping together (_compute_best_clip).
_PIECE = 64


@dataclass(frozen=True)
class AwqSettings(CalibrationSettings):
    """How AWQ scales and rounds the weights (Lin et al. 2023, https://arxiv.org/abs/2306.00978)."""

    bits: int = setting(4, label="Bits", choices=(4,), help="AWQ's kernels read 4 bits.")
    group_size: int = setting(
        128,
        label="Group size",
        choices=(16, 32, 64, 128),
        help="Weights that share a scale. Smaller loses less and takes more memory.",
    )
    zero_point: bool = setting(True, label="Zero point", help="Keeps an offset for each group, as kernels want it.")
    version: str = setting(
        "GEMM",
        label="Version",
        choices=("GEMM", "GEMV"),
        help="The layout. GEMM is read by all loaders here; GEMV is for single requests on an NVIDIA card.",
    )


def awq_obstacle(facts: ModelFacts, settings: AwqSettings) -> str:
    """Return why this model cannot be quantized with these settings; "" where it can."""
    if facts.vision:
        return sees_images(facts, "AWQ")
    odd = [width for width in facts.output_widths if width % _PIECE]
    if odd:
        return (
            f"AWQ takes {_PIECE} outputs of a layer at a time, and {facts.name} has layers with {odd[0]}. Choose "
            "another method, such as gptq or gguf."
        )
    return indivisible(facts, settings)


def awq_bits(settings: AwqSettings) -> float:
    """Return the bits of a weight: a group has a scale of 16 bits and a zero point of 4."""
    return 4 + 20 / settings.group_size
