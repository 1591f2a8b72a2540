"""What the exllamav3 loader declares about making EXL3 models."""

from __future__ import annotations

from dataclasses import dataclass

from modules.families.calibration import CalibrationSettings
from modules.protocol.quantization_method import QuantizationMethod
from modules.protocol.schema import setting


@dataclass(frozen=True)
class Exl3Settings(CalibrationSettings):
    """How ExLlamaV3 packs the weights, by a variant of QTIP (Tseng et al. 2024, https://arxiv.org/abs/2406.11235)."""

    bits: float = setting(
        4.0,
        label="Bits a weight",
        minimum=1,
        maximum=8,
        step=0.05,
        help="The mean over all layers. 4 is usual, below 3 the loss shows.",
    )
    head_bits: int = setting(
        6,
        label="Bits of the head",
        choices=(16, 8, 7, 6, 5, 4, 3, 2, 1),
        help="Of the output layer, which the mean leaves out. 16 keeps it as it is.",
    )


EXL3 = QuantizationMethod(
    name="exl3",
    title="EXL3",
    settings=Exl3Settings,
    bits=lambda settings: float(settings.bits),
    label=lambda settings: f"exl3-{settings.bits:g}bit",
    calibrated=True,
    resumes=True,
)
