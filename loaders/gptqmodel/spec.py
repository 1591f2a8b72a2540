"""What the gptqmodel loader declares: the maintained engine for GPTQ and AWQ folders, on CPUs and GPUs."""

from __future__ import annotations

from dataclasses import dataclass

from loaders.gptqmodel.quantization import AWQ, GPTQ
from modules.families.torch_variants import TORCH_VARIANTS
from modules.families.transformers_settings import SAMPLERS, TransformersSettings, memory_demand
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts, unsupported_bits_reason
from modules.protocol.schema import setting


@dataclass(frozen=True)
class Settings(TransformersSettings):
    """Device and kernel, in addition to the settings of every Transformers loader."""

    device_map: str = setting(
        "auto",
        label="Device",
        choices=("auto", "cpu", "cuda", "balanced"),
        group="Memory",
        help="auto uses the first GPU, or the CPU if there is none. cpu uses no GPU. cuda puts everything on the first "
        "GPU or fails. balanced spreads the layers over all GPUs.",
    )
    kernel: str = setting(
        "auto",
        label="Kernel",
        choices=(
            "auto",
            "torch",
            "torch_aten",
            "torch_cpu_avx512",
            "torch_int8",
            "triton",
            "exllama_v2",
            "marlin",
            "machete",
            "gemm",
        ),
        group="Speed",
        help="What multiplies the quantized weights. auto uses the fastest that works. On a CPU: torch_cpu_avx512 "
        "(needs AVX512-BF16, compiled at the first load), torch_aten, torch. On a GPU: marlin, exllama_v2, triton, "
        "torch, and gemm for AWQ.",
    )


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if facts.format not in ("gptq", "awq"):
        return None
    bits = (2, 3, 4, 8) if facts.format == "gptq" else (4,)
    if facts.bits not in (0, *bits):
        return Claim(0, unsupported_bits_reason("GPTQModel", facts, bits), runs=False)
    method = facts.format.upper() + (" with act-order" if facts.act_order else "")
    if machine.has("cuda") or machine.has("rocm"):
        return Claim(
            80, f"{method} on a GPU: GPTQModel has Marlin, ExLlamaV2 and Triton kernels, compiled at first use."
        )
    if facts.format == "gptq" and facts.group_size == -1:
        return Claim(
            45,
            "GPTQ with one group per row on a CPU: GPTQModel uses its slow kernel, since the fast ones need groups of "
            "at most 256.",
        )
    if facts.bits and facts.bits != 4:
        return Claim(
            75,
            f"{method} with {facts.bits:g} bits on a CPU: GPTQModel unpacks it with torch, since its fast kernels need "
            "4 bits.",
        )
    return Claim(
        90,
        f"{method} on a CPU: GPTQModel has fast kernels. The one for AVX-512 is compiled at the first load if there is "
        "a C++ compiler.",
    )


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    return memory_demand(facts, settings, machine, 450 * MEBIBYTE, unpacking=6)


SPEC = LoaderSpec(
    name="gptqmodel",
    title="GPTQModel",
    summary="GPTQ and AWQ folders with fast kernels for CPUs (AVX-512) and GPUs.",
    formats=("gptq", "awq"),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    logprobs=True,
    accelerators=("cpu", "cuda", "rocm"),
    requirements="requirements.txt",
    variants=TORCH_VARIANTS,
    quantizers=(GPTQ, AWQ),
    probe="import os; os.environ['GPTQMODEL_CPU_WORKERS'] = '2'; import torch, gptqmodel; "
    "print('gptqmodel', gptqmodel.__version__, 'torch', torch.__version__)",
)
