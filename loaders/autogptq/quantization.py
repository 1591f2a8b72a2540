"""What the autogptq loader declares about making GPTQ models."""

from __future__ import annotations

from modules.families.gptq_quantization import GptqSettings, gptq_bits, gptq_label, gptq_obstacle
from modules.protocol.quantization_method import QuantizationMethod

GPTQ = QuantizationMethod(
    name="gptq",
    title="GPTQ",
    settings=GptqSettings,
    bits=gptq_bits,
    label=gptq_label,
    calibrated=True,
    has_trial=True,
    obstacle=gptq_obstacle,
    preference=-1,  # GPTQModel is maintained, and needs less memory
)
