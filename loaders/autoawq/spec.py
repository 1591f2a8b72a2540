"""AutoAWQ 0.2.9: abandoned upstream, kept running in an environment of its own."""

from __future__ import annotations

from dataclasses import dataclass

from modules.families.transformers_settings import SAMPLERS, TransformersSettings, memory_demand
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts, unsupported_bits_reason
from modules.protocol.schema import setting


@dataclass(frozen=True)
class Settings(TransformersSettings):
    """Fused layers and the kernel, besides what every Transformers loader has.

    AutoAWQ's longest sequence (max_seq_len) is the context length, and its memory per device GPU memory limits."""

    fuse_layers: bool = setting(
        True,
        label="Fuse layers",
        group="Speed",
        help="Multiplies the three projections of attention in one product, and the two of the MLP in another: faster, "
        "and the same text.",
    )
    kernel: str = setting(
        "auto",
        label="Kernel",
        choices=("auto", "int4", "torch", "triton", "exllama", "exllamav2"),
        group="Speed",
        help="What multiplies packed weights. int4 is torch's own product of 4-bit weights in bfloat16, for processors "
        "with AVX2. torch is AutoAWQ's and runs everywhere, a hundred times as slowly. triton needs a GPU; exllama and "
        "exllamav2 need AutoAWQ's CUDA kernels too. auto takes triton on a GPU, else int4, else torch.",
    )


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if facts.format != "awq":
        return None
    if facts.bits not in (0, 4):
        return Claim(0, unsupported_bits_reason("AutoAWQ", facts, (4,)), runs=False)
    if machine.has("cuda"):
        return Claim(
            55, "AWQ on a GPU: AutoAWQ has a Triton kernel; GPTQModel, which is still cared for, has faster ones."
        )
    return Claim(
        30,
        "AWQ on a CPU: AutoAWQ itself has no kernel for it, so where there is AVX2 its matrices are packed for torch's "
        "product of 4-bit weights, in bfloat16; GPTQModel is the engine that is still cared for.",
    )


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    return memory_demand(facts, settings, machine, 450 * MEBIBYTE, unpacking=6)


SPEC = LoaderSpec(
    name="autoawq",
    title="AutoAWQ",
    summary="AWQ folders through AutoAWQ 0.2.9, which upstream gave up.",
    formats=("awq",),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    accelerators=("cpu", "cuda"),
    requirements="requirements.txt",
    probe="import warnings; warnings.simplefilter('ignore'); import torch, transformers, awq; "
    "print('autoawq', awq.__version__, 'transformers', transformers.__version__, 'torch', torch.__version__)",
)
