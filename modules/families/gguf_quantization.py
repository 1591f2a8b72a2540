"""What the llama.cpp loaders declare about writing GGUF files: types, bits, settings. Standard library only."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from modules.families.calibration import CalibrationSettings
from modules.families.gguf_tensor_types import FULL_PRECISION, TypeOverrides, parse_overrides
from modules.protocol.errors import SettingError
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
    "IQ3_XS": 3.3,
    "Q2_K": 3.16,
    "IQ3_XXS": 3.06,
    "IQ2_M": 2.7,
    "IQ2_S": 2.5,
    "IQ2_XS": 2.31,
    "IQ2_XXS": 2.06,
    "IQ1_M": 1.75,
    "IQ1_S": 1.56,
}

# Weights that a thread takes at once (_SLAB of modules/worker/gguf/writer.py).
_PIECE = 1 << 22


# llama.cpp makes these only with an importance matrix.
NEED_IMPORTANCE = ("IQ3_XS", "IQ3_XXS", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30}


@dataclass(frozen=True)
class _GgufOwn:
    type: str = setting(
        "Q4_K_M",
        label="Type",
        choices=tuple(BITS),
        help="Q8_0 loses next to nothing, Q6_K and Q5_K_M little. Q4_K_M is the usual choice. Below 4 bits the loss "
        "shows, the more the smaller the model is. F16, BF16 and F32 convert without quantizing.",
    )
    imatrix: str = setting(
        "none",
        label="Importance matrix",
        help="Which columns of the weights matter most, so that fewer bits lose less. auto computes it on the "
        "calibration text; a path names a file of llama-imatrix; none goes without. Types below Q2_K, and IQ3_XS and "
        "IQ3_XXS, need one.",
    )
    tensor_types: str = setting(
        "",
        label="Types of single tensors",
        advanced=True,
        help="PATTERN=TYPE, with commas between several, such as attn_v=Q8_0,ffn_down=Q6_K. A pattern is a regular "
        "expression that is searched in the tensors' names; the first that is found counts.",
    )
    output_type: str = setting("", label="Type of the output", advanced=True, help="Of output.weight, such as Q8_0.")
    embedding_type: str = setting(
        "", label="Type of the embeddings", advanced=True, help="Of token_embd.weight, such as Q8_0."
    )
    split_size: str = setting(
        "",
        label="Size of a part",
        advanced=True,
        help="Splits the model into files of at most this size, such as 2GiB or 500MB, in a folder. Empty makes one "
        "file.",
    )
    split_tensors: int = setting(
        0,
        label="Tensors of a part",
        minimum=0,
        maximum=100_000,
        advanced=True,
        help="Splits the model into files of at most this many tensors. 0 does not.",
    )
    requantize: bool = setting(
        False,
        label="Quantize again",
        advanced=True,
        help="Takes a GGUF file that is quantized already. The result is worse than one made from the original.",
    )
    threads: int = setting(
        0,
        label="Threads",
        minimum=0,
        maximum=512,
        advanced=True,
        help="CPU threads that quantize. 0 leaves one core for the chat.",
    )


@dataclass(frozen=True)
class GgufSettings(CalibrationSettings, _GgufOwn):
    """How a GGUF file is quantized. Those of the calibration come last."""


def wanted_overrides(settings: GgufSettings) -> TypeOverrides:
    """Return the types that a user sets for single tensors. Raises SettingError."""
    return parse_overrides(settings.tensor_types, settings.output_type, settings.embedding_type)


def part_bytes(settings: GgufSettings) -> int:
    """Return the bytes of a part; 0 for no limit. Raises SettingError."""
    text = settings.split_size.strip()
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*([KMG]I?)?B?", text.upper())
    size = int(float(match[1]) * _UNITS[match[2] or ""]) if match else 0
    if text and not size:
        raise SettingError(
            f"Size of a part (split_size) cannot be {text[:40]!r}. Write a number with MB, GB, MiB or GiB, such as "
            "2GiB."
        )
    return size


def is_split(settings: GgufSettings) -> bool:
    """Return True if the model is written as several files."""
    return bool(settings.split_size.strip() or settings.split_tensors)


def _obstacle(facts: ModelFacts, settings: GgufSettings) -> str:
    wanted_overrides(settings)
    part_bytes(settings)
    if facts.format == "gguf" and facts.dtype not in ("", *FULL_PRECISION) and not settings.requantize:
        return (
            f"{facts.name} is quantized already ({facts.dtype}), and quantizing twice loses more than once. Choose the "
            "original: its folder, or a GGUF file in F16, BF16 or F32. If there is no original: --set requantize=true"
        )
    if settings.type in NEED_IMPORTANCE and settings.imatrix == "none":
        return (
            f"{settings.type} needs an importance matrix. Let it be computed on calibration text: --set imatrix=auto. "
            "Or name a file that llama-imatrix wrote: --set imatrix=PATH"
        )
    if settings.imatrix not in ("auto", "none") and not Path(settings.imatrix).is_file():
        return (
            f"There is no importance matrix at {settings.imatrix}. Name a file that llama-imatrix wrote, or let it be "
            "computed: --set imatrix=auto"
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
    calibrated={"imatrix": "auto"},
    requantize="requantize",
    single_file=lambda settings: not is_split(settings),
    reads=lambda settings: () if settings.imatrix in ("auto", "none") else (settings.imatrix,),
    held=_held,
    has_trial=True,
    obstacle=_obstacle,
)
