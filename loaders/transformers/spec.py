"""What the Transformers loader declares: nearly every model, in full precision or quantized by bitsandbytes."""

from __future__ import annotations

from dataclasses import dataclass

from loaders.transformers.quantization import BITSANDBYTES
from modules.families.torch_variants import TORCH_VARIANTS
from modules.families.training_settings import TrainingSettings
from modules.families.transformers_settings import SAMPLERS, TransformersSettings, memory_demand
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts
from modules.protocol.model_purpose import READERS
from modules.protocol.schema import setting

_QUANTIZATION = "Quantization"
# Memory of the worker with torch and Transformers after a reply on a CPU, and of bitsandbytes.
_PROCESS = 395 * MEBIBYTE
_BITSANDBYTES = 40 * MEBIBYTE
# Bytes for each weight of a quantized matrix while it is multiplied: 2 in the data type and 4 in 32 bits before that.
_UNPACKING = 6


@dataclass(frozen=True)
class Settings(TransformersSettings):
    """How the weights are quantized while they load, in addition to the settings of every Transformers loader."""

    quantization: str = setting(
        "none",
        label="Quantization",
        choices=("none", "int8", "nf4", "fp4"),
        group=_QUANTIZATION,
        help="Quantizes the weights while loading (bitsandbytes). int8 takes half the memory of 16 bits with hardly "
        "any loss, nf4 a quarter with a small loss, fp4 a quarter with a larger loss. Generation gets slower, on a CPU "
        "much slower.",
    )
    double_quantization: bool = setting(
        True,
        label="Double quantization",
        group=_QUANTIZATION,
        help="With nf4 and fp4: quantizes the scales too. Saves about 0.4 bits per weight at almost no cost.",
    )
    images: bool = setting(
        True,
        label="Images and sound",
        group="Context",
        help="Loads the part of a model that sees images or hears, if it has one. Off saves its memory: the model then "
        "answers text alone.",
    )
    compute_dtype: str = setting(
        "auto",
        label="Compute type",
        choices=("auto", "bfloat16", "float16", "float32"),
        group=_QUANTIZATION,
        advanced=True,
        help="With nf4 and fp4: the type of the arithmetic. auto uses the data type. float32 is exact and slow.",
    )
    cpu_offload: bool = setting(
        False,
        label="Offload quantized layers",
        group=_QUANTIZATION,
        advanced=True,
        help="Keeps layers that do not fit on the GPU in main memory, in 32 bits. They are slow there.",
    )


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if facts.format == "bitsandbytes":
        return Claim(90, "Quantized by bitsandbytes. Transformers loads it as it is.")
    if facts.format in ("fp8", "mxfp4", "compressed-tensors"):
        return _claim_unpacked(facts)
    if facts.format == "safetensors":
        where = "a GPU" if machine.has("cuda") or machine.has("rocm") else "the CPU"
        return Claim(
            80, f"Full-precision weights for Transformers: runs on {where}, and can be quantized to 8 or 4 bits."
        )
    if facts.format == "gguf" and facts.purpose in READERS:
        return Claim(0, "Transformers does not read this kind of GGUF file. Choose a llama.cpp loader.", runs=False)
    if facts.format == "gguf":
        return Claim(
            20,
            "A GGUF file. Transformers unpacks it to full precision while loading, 16 or 32 bits per weight. llama.cpp "
            "runs it as it is.",
            memory=-20,
        )
    if facts.format == "pickle":
        return Claim(40, "Full-precision weights in pickles: loads only if you trust them (--trust-pickle).")
    return None


def _claim_unpacked(facts: ModelFacts) -> Claim:
    """Claim quantized weights that Transformers converts to the data type while loading.

    compressed-tensors: the package of that name unpacks it. Activations are not rounded, as vLLM's kernels do.
    FP8: needs a scale named weight_scale_inv per matrix or block (transformers/integrations/finegrained_fp8.py, 5.23).
    MXFP4: Transformers has it for gpt-oss alone (transformers/integrations/mxfp4.py). Both have kernels that run the
    weights as they are, in the package `kernels`, which this loader does not install.
    """
    name = facts.format if facts.format == "compressed-tensors" else facts.format.upper()
    if not any(source.startswith("config.json") for source in facts.sources("method")):
        return Claim(
            0,
            f"config.json does not say that the weights are {name}, and Transformers cannot read them "
            "without that. Download the model's config.json again.",
            runs=False,
        )
    if facts.format == "fp8" and not facts.sources("scales"):
        return Claim(
            0,
            "Transformers reads FP8 weights only with scales named weight_scale_inv, which this model does not have. "
            "Choose vLLM, or another version of this model.",
            runs=False,
        )
    if facts.format == "mxfp4" and not facts.architecture.startswith("GptOss"):
        return Claim(
            0,
            f"Transformers reads MXFP4 weights of gpt-oss models only, and this is {facts.architecture or 'another'}. "
            "Choose another version of this model.",
            runs=False,
        )
    return Claim(
        45,
        f"Weights in {name}, which Transformers converts to 16 or 32 bits per weight while loading. "
        "Their memory is that of a full-precision model.",
        memory=-20,
    )


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    """Return the memory that a load takes.

    bitsandbytes keeps one scale per row in int8. In 4 bits it keeps a 32-bit scale for each 64 weights; double
    quantization stores that scale in 8 bits, with a 32-bit one for each 256 scales (Dettmers et al. 2023, QLoRA). FP8,
    MXFP4 and GGUF weights are unpacked.
    """
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
    summary="Nearly every model, in full precision or quantized to 8 or 4 bits by bitsandbytes.",
    formats=("safetensors", "bitsandbytes", "fp8", "mxfp4", "compressed-tensors", "pickle", "gguf"),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    logprobs=True,
    purposes=("generate", *READERS),
    accelerators=("cpu", "cuda", "rocm"),
    requirements="requirements.txt",
    variants=TORCH_VARIANTS,
    quantizers=(BITSANDBYTES,),
    training=TrainingSettings,
    adapters=("peft",),
    logits_hooks=True,
    probe="import torch, transformers; print('transformers', transformers.__version__, 'torch', torch.__version__)",
)
