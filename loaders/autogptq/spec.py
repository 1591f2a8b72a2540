"""AutoGPTQ 0.7.1: abandoned upstream, kept running in an environment of its own."""

from __future__ import annotations

from dataclasses import dataclass

from modules.families.transformers_settings import SAMPLERS, TransformersSettings, memory_demand
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts, unsupported_bits_reason
from modules.protocol.schema import setting


@dataclass(frozen=True)
class Settings(TransformersSettings):
    """Kernel and act-order, besides what every Transformers loader has."""

    kernel: str = setting(
        "auto",
        label="Kernel",
        choices=("auto", "torch", "triton", "exllama", "exllamav2"),
        group="Speed",
        help="What multiplies packed weights. torch runs everywhere. The others need a GPU: triton takes any bits, "
        "exllama and exllamav2 take 4. auto takes the fastest that can be imported.",
    )
    act_order: str = setting(
        "auto",
        label="Act-order",
        choices=("auto", "yes", "no"),
        group="Quantization",
        advanced=True,
        help="Whether columns were quantized in the order of their weight (desc_act). auto takes the folder's word, "
        "and yes where it has none, which is right for both and slower.",
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
        f"{method} on {where}: AutoGPTQ works, with torch's own operations; GPTQModel, which came after it, has faster "
        "kernels.",
    )


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    return memory_demand(facts, settings, machine, 450 * MEBIBYTE, unpacking=6)


SPEC = LoaderSpec(
    name="autogptq",
    title="AutoGPTQ",
    summary="GPTQ folders through AutoGPTQ 0.7.1, which upstream gave up.",
    formats=("gptq",),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    accelerators=("cpu", "cuda"),
    requirements="requirements.txt",
    probe="import torch, transformers, auto_gptq; "
    "print('auto-gptq', auto_gptq.__version__, 'transformers', transformers.__version__, 'torch', torch.__version__)",
)
