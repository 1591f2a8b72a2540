"""What the gptqmodel loader declares about making GPTQ and AWQ models."""

from __future__ import annotations

from modules.families.awq_quantization import AwqSettings, awq_bits, awq_obstacle
from modules.families.gptq_quantization import GptqSettings, gptq_bits, gptq_label, gptq_obstacle
from modules.protocol.quantization_method import QuantizationMethod

GPTQ = QuantizationMethod(
    name="gptq",
    title="GPTQ",
    settings=GptqSettings,
    bits=gptq_bits,
    label=gptq_label,
    calibrated=True,
    keeps_layers=True,
    has_trial=True,
    obstacle=gptq_obstacle,
)
AWQ = QuantizationMethod(
    name="awq",
    title="AWQ",
    settings=AwqSettings,
    bits=awq_bits,
    label=lambda settings: "awq-4bit",
    calibrated=True,
    keeps_layers=True,
    has_trial=True,
    obstacle=awq_obstacle,
)
