"""Settings and samplers of all loaders on the Transformers engine. Their Settings extend these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from modules.families.draft_vocabulary import MOST_DIFFERENT
from modules.families.drafts import DraftSettings, draft_demand
from modules.protocol.memory_demand import MEBIBYTE, Demand, dtype_bits, parse_split
from modules.protocol.model_facts import Machine, ModelFacts
from modules.protocol.model_purpose import READERS
from modules.protocol.sampling import ALL_SAMPLERS
from modules.protocol.schema import setting

_MEMORY = "Memory"
_SPEED = "Speed"
_CONTEXT = "Context"


@dataclass(frozen=True)
class TransformersSettings(DraftSettings):
    """How a Transformers model is placed and run, whatever its quantization."""

    most_different: ClassVar[int] = MOST_DIFFERENT

    context: int = setting(
        8192,
        label="Context length",
        minimum=64,
        maximum=10_000_000,
        unit="tokens",
        group=_CONTEXT,
        help="How many tokens of prompt and reply the model sees at most; never more than it was made for, unless RoPE "
        "scaling stretches that. Memory is taken as the text grows, not at once.",
    )
    device_map: str = setting(
        "auto",
        label="Device",
        choices=("auto", "cpu", "cuda", "balanced", "sequential"),
        group=_MEMORY,
        help="auto fills the GPUs first and puts what is left into main memory (slow); cpu uses no GPU; cuda puts all "
        "on the first GPU or fails; balanced spreads the layers over all GPUs evenly; sequential fills one by one.",
    )
    dtype: str = setting(
        "auto",
        label="Data type",
        choices=("float32", "auto", "bfloat16", "float16"),
        group=_MEMORY,
        help="Of the weights and the arithmetic. 16 bits take half the memory of 32 at hardly any loss. auto: bfloat16 "
        "where GPU or CPU computes with it, else float16 on a GPU and float32 on a CPU.",
    )
    gpu_memory: str = setting(
        "",
        label="GPU memory limits",
        unit="GiB",
        group=_MEMORY,
        help="One number a GPU, separated by commas, such as 20, 22. What does not fit goes to main memory. Empty: no "
        "limit. Leave 1 to 3 GiB free for the context.",
    )
    cpu_memory: float = setting(
        0.0,
        label="Main memory limit",
        minimum=0,
        maximum=100_000,
        unit="GiB",
        group=_MEMORY,
        help="For layers that do not fit the GPUs. 0: no limit.",
    )
    disk_offload: bool = setting(
        False,
        label="Offload to disk",
        group=_MEMORY,
        advanced=True,
        help="Layers that fit neither GPU nor main memory are read from disk for every token: very slow, but it runs.",
    )
    attention: str = setting(
        "auto",
        label="Attention",
        choices=("auto", "sdpa", "eager", "flash_attention_2"),
        group=_SPEED,
        advanced=True,
        help="sdpa is torch's fused attention, fast everywhere. eager is plain and slow; some models need it. "
        "flash_attention_2 needs its package and a GPU. auto lets the model choose, and on a CPU in bf16 reads prompts "
        "faster than sdpa.",
    )
    threads: int = setting(
        0,
        label="Threads",
        minimum=0,
        maximum=1024,
        group=_SPEED,
        help="CPU threads that compute. 0 takes one for each physical core, and a single one for a tiny model.",
    )
    prefill: int = setting(
        0,
        label="Prompt slice",
        minimum=0,
        maximum=65536,
        unit="tokens",
        group=_SPEED,
        advanced=True,
        help="Prompt tokens read at once. Larger may read faster and takes more memory; Stop is heard between slices. "
        "0 takes 512 on a CPU and 1024 on a GPU.",
    )
    rope_scaling: str = setting(
        "model",
        label="RoPE scaling",
        choices=("model", "linear", "dynamic", "yarn"),
        group=_CONTEXT,
        advanced=True,
        help="Stretches positions so that the context can exceed what the model was made for, at a loss of quality. "
        "model keeps what the model brings. yarn loses least; dynamic loses nothing on short texts.",
    )
    rope_factor: float = setting(
        1.0,
        label="RoPE factor",
        minimum=1,
        maximum=64,
        step=0.1,
        group=_CONTEXT,
        advanced=True,
        help="With RoPE scaling: by how much the context is stretched. 2 doubles it.",
    )
    rope_base: float = setting(
        0.0,
        label="RoPE base",
        minimum=0,
        maximum=1e9,
        group=_CONTEXT,
        advanced=True,
        help="The base frequency (theta). 0 keeps the model's own, which is nearly always right.",
    )


SAMPLERS = ALL_SAMPLERS


def memory_demand(
    facts: ModelFacts,
    settings: TransformersSettings,
    machine: Machine,
    process: int,
    *,
    weight_bits: float = 0,
    unpacking: float = 0,
) -> Demand:
    """Return the memory that a Transformers model needs. `process`: bytes of the loader's worker without a model.

    weight_bits: bits per weight if the layers are packed while they load. 0: as on disk if the files are packed, else
    as in the data type. Embeddings, head and cache always have the data type. The cache grows with the text by a
    quarter of its length at a time. A model that only reads has no cache, and computes a text at once. A draft model
    has the data type of the model, and lies whole on the device of its input.
    """
    on_gpu = settings.device_map != "cpu" and (machine.has("cuda") or machine.has("rocm"))
    bits = dtype_bits(settings.dtype, machine, on_gpu)
    stretch = 1.0 if settings.rope_scaling == "model" else settings.rope_factor
    context = min(settings.context, int(facts.context * stretch) or settings.context)
    packed = facts.format in ("gptq", "awq", "hqq", "bitsandbytes")
    reads_only = facts.purpose in READERS
    demand = Demand(
        process=process,
        weight_bits=weight_bits or (0 if packed else bits),
        other_bits=bits,
        context=context,
        cache_tokens=context + max(256, context // 4),
        cache_bits=(bits, bits),
        cache_at_load=False,
        cache_bytes=0 if reads_only else None,
        batch=context if reads_only else settings.prefill or (1024 if on_gpu else 512),
        activation=bits // 8,
        mask=bits / 8,
        unpacking=unpacking,
        gpu_layers=-1 if on_gpu else 0,
        gpu_split=parse_split(settings.gpu_memory),
        gpu_process=500 * MEBIBYTE,
    )
    if reads_only:
        return demand
    own = replace(demand, weight_bits=bits, unpacking=0, gpu_cards=(0,) if on_gpu else (), gpu_split=())
    return replace(demand, draft=draft_demand(settings.draft_model, Path(facts.path), own))
