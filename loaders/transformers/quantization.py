"""What the transformers loader declares about saving models that bitsandbytes packed."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.model_facts import ModelFacts
from modules.protocol.quantization_method import QuantizationMethod
from modules.protocol.schema import setting


@dataclass(frozen=True)
class BitsAndBytesSettings:
    """How bitsandbytes packs the weights."""

    type: str = setting(
        "nf4",
        label="Type",
        choices=("nf4", "fp4", "int8"),
        help="nf4 has 4 bits placed where weights are common, and is the usual choice and the base of QLoRA. fp4 loses "
        "more. int8 has 8 bits and loses hardly anything.",
    )
    double_quantization: bool = setting(
        True,
        label="Double quantization",
        help="With nf4 and fp4: packs the scales as well. Saves some 0.4 bits a weight.",
    )
    compute_dtype: str = setting(
        "auto",
        label="Compute type",
        choices=("auto", "bfloat16", "float16", "float32"),
        advanced=True,
        help="With nf4 and fp4: the type of the arithmetic when the result is loaded. auto takes the model's own.",
    )


def _bits(settings: BitsAndBytesSettings) -> float:
    """int8 keeps a scale for each row; 4 bits keep one of 32 bits for 64 weights, or of some 8 bits (QLoRA, 2023)."""
    if settings.type == "int8":
        return 8.0
    return 4 + (8 / 64 + 32 / (64 * 256) if settings.double_quantization else 32 / 64)


def _held(facts: ModelFacts, settings: BitsAndBytesSettings) -> int:
    """The packed layers, the rest in its own type, and one matrix on its way."""
    others = facts.parameters - facts.layer_parameters
    packed = facts.layer_parameters * _bits(settings) / 8
    return int(packed) + 2 * others + 6 * facts.hidden * max(facts.intermediate, facts.hidden)


BITSANDBYTES = QuantizationMethod(
    name="bnb",
    title="bitsandbytes",
    settings=BitsAndBytesSettings,
    bits=_bits,
    label=lambda settings: f"bnb-{settings.type}",
    held=_held,
    has_trial=True,
)
