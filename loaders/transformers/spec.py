"""Transformers: the loader that reads nearly every model, at full precision or packed by bitsandbytes."""

from __future__ import annotations

from dataclasses import dataclass

from modules.families.transformers_settings import SAMPLERS, TransformersSettings, memory_demand
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts
from modules.protocol.schema import setting

_QUANTIZATION = "Quantization"
# The worker with torch and Transformers after a reply, on a CPU, and bitsandbytes beside them.
_PROCESS = 395 * MEBIBYTE
_BITSANDBYTES = 40 * MEBIBYTE
# Bytes for each weight of a packed matrix that is unpacked for a product: in the data type, and in 32 bits before.
_UNPACKING = 6


@dataclass(frozen=True)
class Settings(TransformersSettings):
    """How the weights are packed while they load, besides what every Transformers loader has."""

    quantization: str = setting(
        "none",
        label="Quantization",
        choices=("none", "int8", "nf4", "fp4"),
        group=_QUANTIZATION,
        help="Packs the weights while loading (bitsandbytes). int8 halves the memory of 16 bits at hardly any loss, "
        "nf4 quarters it at a small one, fp4 at a larger one. Generating gets slower, on a CPU much slower.",
    )
    double_quantization: bool = setting(
        True,
        label="Double quantization",
        group=_QUANTIZATION,
        help="With nf4 and fp4: packs the scales as well. Saves some 0.4 bits a weight, costs next to nothing.",
    )
    compute_dtype: str = setting(
        "auto",
        label="Compute type",
        choices=("auto", "bfloat16", "float16", "float32"),
        group=_QUANTIZATION,
        advanced=True,
        help="With nf4 and fp4: what the arithmetic runs in. auto takes the data type; float32 is exact and slow.",
    )
    cpu_offload: bool = setting(
        False,
        label="Offload packed layers",
        group=_QUANTIZATION,
        advanced=True,
        help="Allows layers that do not fit the GPU to stay in main memory in 32 bits. Slow, but it runs.",
    )


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if facts.format == "bitsandbytes":
        return Claim(90, "The weights are packed by bitsandbytes, which Transformers loads as they are.")
    if facts.format == "safetensors":
        where = "a GPU" if machine.has("cuda") or machine.has("rocm") else "the CPU"
        return Claim(
            80, f"A Transformers folder with whole weights: runs on {where}, and can be packed to 8 or 4 bits."
        )
    if facts.format == "gguf":
        return Claim(
            20,
            "A GGUF file, which Transformers unpacks to full precision while loading: 16 or 32 bits a weight. "
            "llama.cpp runs it as it is.",
            memory=-20,
        )
    if facts.format == "pickle":
        return Claim(40, "A Transformers folder whose weights are pickles: loads only where the owner trusts them.")
    return None


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    """bitsandbytes keeps a scale a row in int8; in 4 bits one of 32 bits for each 64 weights, which double quantization
    packs to 8 and one of 32 bits for each 256 of them (Dettmers et al. 2023, QLoRA). GGUF files are unpacked."""
    scales = 8 / 64 + 32 / (64 * 256) if settings.double_quantization else 32 / 64
    bits = {"none": 0.0, "int8": 8.0}.get(settings.quantization, 4 + scales)
    return memory_demand(
        facts,
        settings,
        machine,
        _PROCESS + (_BITSANDBYTES if bits or facts.format == "bitsandbytes" else 0),
        weight_bits=bits,
        unpacking=_UNPACKING if bits else 0,
    )


SPEC = LoaderSpec(
    name="transformers",
    title="Transformers",
    summary="Nearly every model, at full precision or packed to 8 or 4 bits by bitsandbytes.",
    formats=("safetensors", "bitsandbytes", "pickle", "gguf"),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    accelerators=("cpu", "cuda", "rocm"),
    requirements="requirements.txt",
    adapters=("peft",),
    logits_hooks=True,
    probe="import torch, transformers; print('transformers', transformers.__version__, 'torch', torch.__version__)",
)
