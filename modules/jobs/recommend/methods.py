"""What each method would make of a model: the candidates, from most to least bits, before one is chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.families.gguf_quantization import NEED_IMPORTANCE
from modules.jobs.recommend.sizes import awq_bytes, exl_bytes, gptq_bytes, hqq_bytes, int8_bytes, nf4_bytes, w8a8_bytes
from modules.jobs.recommend.tensors import ModelTensors
from modules.protocol.model_facts import Evidence, ModelFacts
from modules.protocol.quantization_method import divides

# Every method that a recommendation names, whether it can be made here or not.
METHODS = ("gptq", "awq", "gguf", "nf4", "int8", "hqq", "w8a8", "exl2", "exl3")
# From most to least bits. Types below Q2_K want an importance matrix.
GGUF_TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "Q3_K_M", "Q3_K_S", "Q2_K", "IQ2_XS")
_GROUP_SIZES = (128, 64, 32)


@dataclass(frozen=True)
class Variant:
    """One method with its settings. `facts`: of the model that it would make; `load`: the loader's settings for it.

    `quantizer`: name of the method in LoaderSpec.quantizers, and `settings`: what `quantize --set` takes."""

    method: str
    quantizer: str
    settings: Mapping[str, object]
    bits: float
    facts: ModelFacts
    load: Mapping[str, object] = field(default_factory=dict)


def variants(facts: ModelFacts, tensors: ModelTensors, gguf_bytes: Callable[[str], int] | None) -> Iterator[Variant]:
    """Yield every variant of every method, for each method from most to least bits.

    `gguf_bytes`: bytes of a GGUF file of a type; None where the model cannot be converted. A method whose groups do not
    divide the matrices has none."""

    def made(form: str, size: int, bits: float, **changes: Any) -> ModelFacts:
        # Scales and unquantized parts are spread evenly: what of the size is in the layers follows the bits.
        layers = round(sum(matrix.elements for matrix in tensors.linear) * bits / 8)
        return dataclasses.replace(
            facts, format=form, size_bytes=size, layer_bytes=min(size, layers), bits=bits, **changes
        )

    for kind in GGUF_TYPES if gguf_bytes else ():
        assert gguf_bytes
        size = gguf_bytes(kind)
        bits = size * 8 / tensors.total
        given = {"type": kind, "imatrix": "auto"} if kind in NEED_IMPORTANCE else {"type": kind}
        yield Variant("gguf", "gguf", given, bits, made("gguf", size, bits, dtype=kind))
    group = group_size_for(tensors, _GROUP_SIZES)
    if group:
        for bits in (8, 4, 3):
            size = gptq_bytes(tensors, bits, group)
            settings = {"bits": bits, "group_size": group}
            yield Variant("gptq", "gptq", settings, bits, made("gptq", size, bits, group_size=group))
        size = awq_bytes(tensors, group)
        yield Variant("awq", "awq", {"group_size": group}, 4, made("awq", size, 4, group_size=group))
    hqq_group = group_size_for(tensors, (64, 32, 16, 8))
    for bits in (8, 4, 3, 2) if hqq_group else ():
        size = hqq_bytes(tensors, bits, hqq_group)
        settings = {"bits": bits, "group_size": hqq_group}
        yield Variant("hqq", "hqq", settings, bits, made("hqq", size, bits, group_size=hqq_group))
    yield Variant("int8", "bnb", {"type": "int8"}, 8, made("bitsandbytes", int8_bytes(tensors), 8))
    yield Variant("nf4", "bnb", {"type": "nf4"}, 4, made("bitsandbytes", nf4_bytes(tensors), 4))
    # As the result's config.json will say; loaders ask for that.
    named = (Evidence("method", "compressed-tensors", "config.json: quantization_config"),)
    yield Variant("w8a8", "w8a8", {}, 8, made("compressed-tensors", w8a8_bytes(tensors), 8, evidence=named))
    for name in ("exl2", "exl3"):
        for average in (6.0, 5.0, 4.0, 3.0, 2.5):
            size = exl_bytes(tensors, average)
            yield Variant(name, name, {"bits": average}, average, made(name, size, average))


def group_size_for(tensors: ModelTensors, sizes: tuple[int, ...]) -> int:
    """Return the first of `sizes` that divides the inputs of every matrix, or 0."""
    widths = {matrix.columns for matrix in tensors.linear}
    return next((size for size in sizes if divides(size, widths)), 0)
