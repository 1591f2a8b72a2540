"""What the llmcompressor loader declares about making compressed-tensors models."""

from __future__ import annotations

from dataclasses import dataclass

from modules.families.calibration import CalibrationSettings
from modules.protocol.model_facts import ModelFacts
from modules.protocol.quantization_method import QuantizationMethod, indivisible, sees_images
from modules.protocol.schema import setting

# Bits of a stored weight.
_BITS = {"W8A8": 8, "W4A16": 4, "FP8_DYNAMIC": 8}


@dataclass(frozen=True)
class W8A8Settings(CalibrationSettings):
    """How weights and activations are rounded.

    SmoothQuant: Xiao et al. 2022, https://arxiv.org/abs/2211.10438.
    """

    scheme: str = setting(
        "W8A8",
        label="Scheme",
        choices=("W8A8", "W4A16", "FP8_DYNAMIC"),
        help="W8A8: weights and activations as 8-bit integers. W4A16: weights in 4 bits, activations in 16. "
        "FP8_DYNAMIC: both as 8-bit floating point, without calibration.",
    )
    smoothing: float = setting(
        0.8,
        label="Smoothing strength",
        minimum=0,
        maximum=1,
        step=0.05,
        help="With W8A8: how much of the range of large activations moves into the weights (SmoothQuant's alpha). "
        "0: no smoothing.",
    )
    algorithm: str = setting(
        "gptq",
        label="Algorithm",
        choices=("gptq", "rtn"),
        help="With W8A8 and W4A16: gptq corrects the error of each column in the next ones. rtn rounds to the nearest, "
        "which is faster and loses more.",
    )
    group_size: int = setting(
        128,
        label="Group size",
        choices=(32, 64, 128),
        help="With W4A16: weights that share a scale. Smaller loses less and takes more memory.",
    )
    damp_percent: float = setting(
        0.01,
        label="Damping",
        minimum=0.0001,
        maximum=0.9999,
        advanced=True,
        help="With gptq: share of the mean of the Hessian's diagonal that is added to it. Raise it if the rounding "
        "fails.",
    )


def _bits(settings: W8A8Settings) -> float:
    return _BITS[settings.scheme] + (16 / settings.group_size if settings.scheme == "W4A16" else 0)


def _obstacle(facts: ModelFacts, settings: W8A8Settings) -> str:
    if facts.vision:
        return sees_images(facts, "LLM Compressor")
    if facts.sources("experts"):
        return (
            f"{facts.name} is a mixture of experts, and this method would leave the experts in full precision. Choose "
            "another, such as gguf."
        )
    return indivisible(facts, settings) if settings.scheme == "W4A16" else ""


W8A8 = QuantizationMethod(
    name="w8a8",
    title="SmoothQuant W8A8",
    settings=W8A8Settings,
    bits=_bits,
    label=lambda settings: settings.scheme.lower().replace("_", "-"),
    calibrated=True,
    has_trial=True,
    obstacle=_obstacle,
)
