"""What the llama.cpp loaders declare about writing GGUF files: types, bits, settings. Standard library only."""

from __future__ import annotations

import os
from dataclasses import dataclass

from modules.protocol.model_facts import ModelFacts
from modules.protocol.quantization_method import QuantizationMethod
from modules.protocol.schema import setting

# Bits of a weight, scales included, as llama.cpp mixes them for a Llama of 8B parameters (llama-quantize --help).
BITS = {
    "F32": 32.0,
    "F16": 16.0,
    "BF16": 16.0,
    "Q8_0": 8.5,
    "Q6_K": 6.56,
    "Q5_K_M": 5.7,
    "Q5_K_S": 5.57,
    "Q5_1": 6.0,
    "Q5_0": 5.5,
    "Q4_K_M": 4.89,
    "Q4_K_S": 4.67,
    "Q4_1": 5.0,
    "Q4_0": 4.5,
    "IQ4_NL": 4.56,
    "IQ4_XS": 4.3,
    "Q3_K_L": 4.3,
    "Q3_K_M": 4.0,
    "Q3_K_S": 3.64,
    "IQ3_M": 3.76,
    "IQ3_S": 3.66,
    "Q2_K": 3.16,
}

# Weights that a thread takes at once (_SLAB of modules/worker/gguf/writer.py).
_PIECE = 1 << 22


@dataclass(frozen=True)
class GgufSettings:
    """How a GGUF file is quantized."""

    type: str = setting(
        "Q4_K_M",
        label="Type",
        choices=tuple(BITS),
        help="Q8_0 loses next to nothing, Q6_K and Q5_K_M little. Q4_K_M is the usual choice. Below 4 bits the loss "
        "shows, the more the smaller the model is. F16, BF16 and F32 convert without quantizing.",
    )
    threads: int = setting(
        0,
        label="Threads",
        minimum=0,
        maximum=512,
        advanced=True,
        help="CPU threads that quantize. 0 leaves one core for the chat.",
    )


def _obstacle(facts: ModelFacts, settings: GgufSettings) -> str:
    if facts.format == "gguf" and facts.dtype not in ("", "F32", "F16", "BF16"):
        return (
            f"{facts.name} is quantized already ({facts.dtype}), and quantizing twice loses more than once. Choose the "
            "original: its folder, or a GGUF file in F16, BF16 or F32."
        )
    return ""


def _held(facts: ModelFacts, settings: GgufSettings) -> int:
    """Each thread has a piece of a tensor: as it was read, as floats, packed, and copies of the first and the last."""
    threads = settings.threads or max(1, (os.cpu_count() or 1) - 1)
    return threads * min(_PIECE, _largest(facts)) * 14


def held_whole_tensors(facts: ModelFacts, settings: GgufSettings) -> int:
    """Return the bytes for a quantizer that holds a whole tensor: as floats, and packed."""
    return _largest(facts) * 6


def _largest(facts: ModelFacts) -> int:
    return facts.hidden * max(facts.vocabulary, facts.intermediate, facts.hidden)


GGUF = QuantizationMethod(
    name="gguf",
    title="GGUF",
    settings=GgufSettings,
    bits=lambda settings: BITS[settings.type],
    label=lambda settings: str(settings.type),
    sources=("safetensors", "gguf"),
    single_file=True,
    held=_held,
    has_trial=True,
    obstacle=_obstacle,
)
