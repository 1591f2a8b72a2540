"""What the autogptq loader declares. AutoGPTQ 0.7.1 is no longer maintained upstream."""

from __future__ import annotations

from dataclasses import dataclass

from loaders.autogptq.quantization import GPTQ
from modules.families.torch_variants import CUDA_VARIANTS
from modules.families.transformers_settings import SAMPLERS, TransformersSettings, memory_demand
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts, unsupported_bits_reason
from modules.protocol.schema import setting


@dataclass(frozen=True)
class Settings(TransformersSettings):
    """Kernel and act-order, in addition to the settings of every Transformers loader."""

    kernel: str = setting(
        "auto",
        label="Kernel",
        choices=("auto", "torch", "triton", "exllama", "exllamav2"),
        group="Speed",
        help="What multiplies the quantized weights. torch runs everywhere. The others need a GPU: triton reads all "
        "bits, exllama and exllamav2 read 4. auto uses the fastest that can be imported.",
    )
    act_order: str = setting(
        "auto",
        label="Act-order",
        choices=("auto", "yes", "no"),
        group="Quantization",
        advanced=True,
        help="Whether columns were quantized in the order of their activations (desc_act). auto uses what the folder "
        "says, otherwise yes, which is correct for both but slower.",
    )


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if facts.format != "gptq":
        return None
    if facts.bits not in (0, 2, 3, 4, 8):
        return Claim(0, unsupported_bits_reason("AutoGPTQ", facts, (2, 3, 4, 8)), runs=False)
    method = "GPTQ with act-order" if facts.act_order else "GPTQ"
    where = "a GPU" if machine.has("cuda") else "a CPU"
    return Claim(
        50,
        f"{method} on {where}: AutoGPTQ computes it with torch. Its successor GPTQModel has faster kernels.",
    )


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    return memory_demand(facts, settings, machine, 450 * MEBIBYTE, unpacking=6)


SPEC = LoaderSpec(
    name="autogptq",
    title="AutoGPTQ",
    summary="GPTQ folders, with AutoGPTQ 0.7.1 (no longer maintained upstream).",
    formats=("gptq",),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    logprobs=True,
    accelerators=("cpu", "cuda"),
    requirements="requirements.txt",
    variants=CUDA_VARIANTS,
    quantizers=(GPTQ,),
    probe="import torch, transformers, auto_gptq; "
    "print('auto-gptq', auto_gptq.__version__, 'transformers', transformers.__version__, 'torch', torch.__version__)",
)
