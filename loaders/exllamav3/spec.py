"""What the exllamav3 loader declares: EXL3 on CUDA, with a dynamic batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from loaders.exllamav3.quantization import EXL3
from modules.families.drafts import HeadDraftSettings
from modules.families.exllama import CONTEXT, GPU, ExllamaSettings, memory_demand
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts
from modules.protocol.sampling import ALL_SAMPLERS
from modules.protocol.schema import setting

# Bits of an element with its share of the scale of 16 bits that 32 elements have.
_BITS = {"fp16": 16.0, **{f"q{bits}": bits + 0.5 for bits in range(8, 1, -1)}}


@dataclass(frozen=True)
class Settings(HeadDraftSettings, ExllamaSettings):
    """How ExLlamaV3 loads and runs a model."""

    cache_type: str = setting(
        "fp16",
        label="Cache type",
        choices=tuple(_BITS),
        group=CONTEXT,
        help="Precision of cached keys, and of values unless they have their own. q8 takes half the memory with almost "
        "no loss, q4 a quarter with a small loss.",
    )
    cache_type_v: str = setting(
        "same",
        label="Cache type, V",
        choices=("same", *list(_BITS)[1:]),
        group=CONTEXT,
        advanced=True,
        help="Precision of cached values, with quantized keys. Values bear fewer bits than keys.",
    )
    main_memory_cache: float = setting(
        0.0,
        label="Cache in main memory",
        minimum=0,
        maximum=10_000,
        unit="GB",
        group=CONTEXT,
        advanced=True,
        help="Keeps chats that have no room in the cache of the card any more, so that they need not be read again.",
    )
    n_cpu_moe: int = setting(
        0,
        label="Layers with experts in main memory",
        minimum=0,
        maximum=1024,
        unit="layers",
        group=GPU,
        advanced=True,
        help="For a mixture of experts that is too large for the card: the experts of the first so many layers are "
        "computed by the processor. Only for models made with the codebook mul1; the others stay on the card.",
    )


SAMPLERS = ALL_SAMPLERS - {"guidance_scale", "negative_prompt"}


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if facts.format != "exl3" or not machine.has("cuda"):
        return None
    return Claim(95, "EXL3, which only ExLlamaV3 reads. It loses least at few bits on this graphics card.")


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    """Return the memory that a load takes: all on cards, but for experts and the second cache."""
    kind = settings.cache_type
    values = kind if kind == "fp16" or settings.cache_type_v == "same" else settings.cache_type_v
    demand = memory_demand(facts, settings, (_BITS[kind], _BITS[values]), round(settings.main_memory_cache * (1 << 30)))
    return replace(demand, cpu_experts=settings.n_cpu_moe)


SPEC = LoaderSpec(
    name="exllamav3",
    title="ExLlamaV3",
    summary="EXL3 on NVIDIA cards: 1 to 8 bits with little loss, a quantized cache and several replies at once.",
    formats=("exl3",),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    logprobs=True,
    accelerators=("cuda",),
    requirements="requirements.txt",
    quantizers=(EXL3,),
    # Does not import the engine, whose first import compiles CUDA kernels for minutes. The first load shows that.
    probe="import importlib.metadata as found, tokenizers, torch, transformers; "
    "assert torch.cuda.is_available(), 'torch sees no CUDA device'; print(found.version('exllamav3'))",
)
