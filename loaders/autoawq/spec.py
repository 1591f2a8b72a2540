"""What the autoawq loader declares. AutoAWQ 0.2.9 is no longer maintained upstream."""

from __future__ import annotations

from dataclasses import dataclass

from loaders.autoawq.quantization import AWQ
from modules.families.torch_variants import CUDA_VARIANTS
from modules.families.transformers_settings import SAMPLERS, TransformersSettings, memory_demand
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts, unsupported_bits_reason
from modules.protocol.schema import setting


@dataclass(frozen=True)
class Settings(TransformersSettings):
    """Fused layers and the kernel, in addition to the settings of every Transformers loader.

    AutoAWQ's max_seq_len is Context length, and its memory per device is GPU memory limits.
    """

    fuse_layers: bool = setting(
        True,
        label="Fuse layers",
        group="Speed",
        help="Computes the three projections of attention in one matrix product, and the two of the MLP in another. "
        "Faster, with the same text.",
    )
    kernel: str = setting(
        "auto",
        label="Kernel",
        choices=("auto", "int4", "torch", "triton", "exllama", "exllamav2"),
        group="Speed",
        help="What multiplies the quantized weights. int4 is torch's 4-bit matrix product in bfloat16, for CPUs with "
        "AVX2. torch is AutoAWQ's and runs everywhere, but a hundred times slower. triton needs a GPU. exllama and "
        "exllamav2 also need AutoAWQ's CUDA kernels. auto uses triton on a GPU, otherwise int4, otherwise torch.",
    )


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if facts.format != "awq":
        return None
    if facts.bits not in (0, 4):
        return Claim(0, unsupported_bits_reason("AutoAWQ", facts, (4,)), runs=False)
    if machine.has("cuda"):
        return Claim(
            55, "AWQ on a GPU: AutoAWQ has a Triton kernel. GPTQModel, which is still maintained, has faster kernels."
        )
    return Claim(
        30,
        "AWQ on a CPU: AutoAWQ has no kernel for it. With AVX2 the weights are repacked for torch's 4-bit matrix "
        "product in bfloat16. GPTQModel is still maintained.",
    )


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    return memory_demand(facts, settings, machine, 450 * MEBIBYTE, unpacking=6)


SPEC = LoaderSpec(
    name="autoawq",
    title="AutoAWQ",
    summary="AWQ folders, with AutoAWQ 0.2.9 (no longer maintained upstream).",
    formats=("awq",),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    logprobs=True,
    accelerators=("cpu", "cuda"),
    requirements="requirements.txt",
    variants=CUDA_VARIANTS,
    quantizers=(AWQ,),
    probe="import warnings; warnings.simplefilter('ignore'); import torch, transformers, awq; "
    "print('autoawq', awq.__version__, 'transformers', transformers.__version__, 'torch', torch.__version__)",
)
