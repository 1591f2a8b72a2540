"""What the exllamav2 loader declares about making EXL2 models."""

from __future__ import annotations

from dataclasses import dataclass

from modules.families.calibration import CalibrationSettings
from modules.protocol.quantization_method import QuantizationMethod
from modules.protocol.schema import setting


@dataclass(frozen=True)
class Exl2Settings(CalibrationSettings):
    """How ExLlamaV2 spends the bits: it measures what each layer loses, and gives more bits where it loses most."""

    bits: float = setting(
        4.0,
        label="Bits a weight",
        minimum=2,
        maximum=8,
        step=0.05,
        help="The mean over all layers, scales included. 4 is usual, 5 and more lose hardly anything, below 3 the "
        "loss shows.",
    )
    head_bits: int = setting(
        6, label="Bits of the head", choices=(8, 6, 5, 4, 3, 2), help="Of the output layer, which the mean leaves out."
    )
    measurement_samples: int = setting(
        16,
        label="Samples of the measurement",
        minimum=1,
        maximum=4096,
        group="Calibration",
        advanced=True,
        help="Pieces of calibration text with which each layer is measured. More take longer.",
    )


EXL2 = QuantizationMethod(
    name="exl2",
    title="EXL2",
    settings=Exl2Settings,
    bits=lambda settings: float(settings.bits),
    label=lambda settings: f"exl2-{settings.bits:g}bit",
    calibrated=True,
    resumes=True,
    measures=True,
)
