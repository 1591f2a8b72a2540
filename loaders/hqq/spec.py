"""What the hqq loader declares: half-quadratic quantization (Badri and Shaji 2023), which needs no data."""

from __future__ import annotations

from dataclasses import dataclass

from loaders.hqq.quantization import HQQ
from modules.families.torch_variants import TORCH_VARIANTS
from modules.families.transformers_settings import SAMPLERS, TransformersSettings, memory_demand
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand, dtype_bits
from modules.protocol.model_facts import Claim, Machine, ModelFacts
from modules.protocol.schema import setting

_QUANTIZATION = "Quantization"


@dataclass(frozen=True)
class Settings(TransformersSettings):
    """How full-precision weights are quantized while loading. A saved HQQ folder is loaded as it is."""

    dtype: str = setting(
        "auto",
        label="Compute type",
        choices=("float32", "auto", "bfloat16", "float16"),
        group=_QUANTIZATION,
        help="Type to which weights are unpacked for the arithmetic. auto: bfloat16 if the GPU or CPU supports it, "
        "otherwise float16 on a GPU and float32 on a CPU.",
    )
    bits: int = setting(
        4,
        label="Bits",
        choices=(8, 4, 3, 2, 1),
        group=_QUANTIZATION,
        help="Bits per weight. 8 loses almost nothing, 4 a little, 3 and 2 a lot. 1 is for research.",
    )
    group_size: int = setting(
        64,
        label="Group size",
        choices=(8, 16, 32, 64, 128, 256, 512, 1024),
        unit="weights",
        group=_QUANTIZATION,
        help="Weights that share a scale and a zero point. Smaller groups are more exact and take more memory.",
    )
    axis: int = setting(
        1,
        label="Axis",
        choices=(0, 1),
        group=_QUANTIZATION,
        advanced=True,
        help="Direction of the groups. 0 loses less. Fast kernels need 1.",
    )


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    where = "a GPU" if machine.has("cuda") or machine.has("rocm") else "the CPU"
    if facts.format == "hqq":
        return Claim(90, f"Saved by HQQ and loaded as it is. Runs on {where}, and unpacks weights as needed.")
    if facts.format == "safetensors":
        return Claim(
            40,
            f"Full-precision weights, which HQQ quantizes while loading to about a quarter of their memory. Runs on "
            f"{where}, slower than Transformers with full-precision weights.",
            quality=-20,
            speed=-20,
            memory=50,
        )
    return None


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    """Return the memory that a load takes.

    Each group has a scale and a zero point in the compute type. Ten weights of 3 bits are stored in 32 bits.
    """
    on_gpu = settings.device_map != "cpu" and (machine.has("cuda") or machine.has("rocm"))
    scale = dtype_bits(settings.dtype, machine, on_gpu)
    bits = (
        0.0
        if facts.format == "hqq"
        else (3.2 if settings.bits == 3 else settings.bits) + 2 * scale / settings.group_size
    )
    return memory_demand(facts, settings, machine, 450 * MEBIBYTE, weight_bits=bits, unpacking=6)


SPEC = LoaderSpec(
    name="hqq",
    title="HQQ",
    summary="Quantizes full-precision weights to 8–1 bits while loading, without calibration. Also reads saved HQQ "
    "folders.",
    formats=("hqq", "safetensors"),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    logprobs=True,
    accelerators=("cpu", "cuda", "rocm"),
    requirements="requirements.txt",
    variants=TORCH_VARIANTS,
    quantizers=(HQQ,),
    probe="import torch, transformers; from importlib.metadata import version; import hqq.core.quantize; "
    "print('hqq', version('hqq'), 'transformers', transformers.__version__, 'torch', torch.__version__)",
)
