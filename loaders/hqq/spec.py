"""HQQ (half-quadratic quantization, Badri and Shaji 2023): packs any model to 8 to 1 bits in seconds, without data."""

from __future__ import annotations

from dataclasses import dataclass

from modules.families.transformers_settings import SAMPLERS, TransformersSettings, memory_demand
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand, dtype_bits
from modules.protocol.model_facts import Claim, Machine, ModelFacts
from modules.protocol.schema import setting

_QUANTIZATION = "Quantization"


@dataclass(frozen=True)
class Settings(TransformersSettings):
    """How whole weights are packed while they load; a saved HQQ folder keeps its own packing."""

    dtype: str = setting(
        "auto",
        label="Compute type",
        choices=("float32", "auto", "bfloat16", "float16"),
        group=_QUANTIZATION,
        help="What weights are unpacked to for the arithmetic. auto: bfloat16 where GPU or CPU computes with it, "
        "else float16 on a GPU and float32 on a CPU.",
    )
    bits: int = setting(
        4,
        label="Bits",
        choices=(8, 4, 3, 2, 1),
        group=_QUANTIZATION,
        help="Of each weight. 8 is hardly told from whole weights, 4 loses a little, 3 and 2 a lot, 1 is for research.",
    )
    group_size: int = setting(
        64,
        label="Group size",
        choices=(8, 16, 32, 64, 128, 256, 512, 1024),
        unit="weights",
        group=_QUANTIZATION,
        help="Weights that share a scale and a zero point. Smaller is more exact, and takes more memory for them.",
    )
    axis: int = setting(
        1,
        label="Axis",
        choices=(0, 1),
        group=_QUANTIZATION,
        advanced=True,
        help="Along which groups are taken. 0 loses less; 1 is what fast kernels need.",
    )


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    where = "a GPU" if machine.has("cuda") or machine.has("rocm") else "the CPU"
    if facts.format == "hqq":
        return Claim(90, f"A folder that HQQ saved, loaded as it is: runs on {where}, with weights unpacked as needed.")
    if facts.format == "safetensors":
        return Claim(
            40,
            f"Whole weights, which HQQ packs while loading to a quarter of their memory or so: runs on {where}, slower "
            "than Transformers does with whole weights.",
            quality=-20,
            speed=-20,
            memory=50,
        )
    return None


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    """Each group has a scale and a zero point in the compute type; 3 bits are kept ten to a word of 32."""
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
    summary="Packs whole weights to 8 to 1 bits while loading, without calibration; reads folders that HQQ saved.",
    formats=("hqq", "safetensors"),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    accelerators=("cpu", "cuda", "rocm"),
    requirements="requirements.txt",
    probe="import torch, transformers; from importlib.metadata import version; import hqq.core.quantize; "
    "print('hqq', version('hqq'), 'transformers', transformers.__version__, 'torch', torch.__version__)",
)
