"""What the autoawq loader declares about making AWQ models."""

from __future__ import annotations

from modules.families.awq_quantization import AwqSettings, awq_bits, awq_obstacle
from modules.protocol.quantization_method import QuantizationMethod

AWQ = QuantizationMethod(
    name="awq",
    title="AWQ",
    settings=AwqSettings,
    bits=awq_bits,
    label=lambda settings: "awq-4bit",
    calibrated=True,
    has_trial=True,
    obstacle=awq_obstacle,
    preference=-1,  # GPTQModel is maintained, and faster
)
