"""Settings and memory that the loaders of ExLlamaV2 and ExLlamaV3 share. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from modules.families.drafts import DraftSettings, draft_demand
from modules.protocol.memory_demand import MEBIBYTE, Demand, parse_split
from modules.protocol.model_facts import ModelFacts
from modules.protocol.schema import setting

CONTEXT = "Context and cache"
GPU = "Graphics cards"
SPEED = "Speed"


@dataclass(frozen=True)
class ExllamaSettings(DraftSettings):
    """How an ExLlama engine places and runs a model."""

    context: int = setting(
        8192,
        label="Context length",
        minimum=256,
        maximum=4_194_304,
        unit="tokens",
        group=CONTEXT,
        help="How much text the model sees at once, rounded up to 256. The cache for it is allocated at the load. The "
        "default never exceeds the trained context.",
    )
    cache_tokens: int = setting(
        0,
        label="Cache size",
        minimum=0,
        maximum=16_777_216,
        unit="tokens",
        group=CONTEXT,
        advanced=True,
        help="Shared by all replies that run at once. Replies that find no room wait. 0: one context.",
    )
    slots: int = setting(
        2,
        label="Replies at once",
        minimum=1,
        maximum=64,
        group=CONTEXT,
        help="Requests computed as one batch. With ExLlamaV2 and without flash-attn 2.5.7 or later in its environment, "
        "one at a time.",
    )
    gpu_split: str = setting(
        "",
        label="GPU split",
        unit="GB",
        group=GPU,
        help="Memory for weights on each card, separated by commas, such as 20, 22. Empty: fills one card after "
        "another (autosplit).",
    )
    reserve: float = setting(
        0.0,
        label="Keep free",
        minimum=0,
        maximum=1000,
        unit="GB",
        group=GPU,
        advanced=True,
        help="With autosplit: memory to keep free on each card. 0: the engine's default, about 0.2 for ExLlamaV2 and "
        "0.5 for ExLlamaV3.",
    )
    tensor_parallel: bool = setting(
        False,
        label="Tensor parallel",
        group=GPU,
        help="Splits every layer over all cards, which then compute at the same time. Not for all architectures.",
    )
    batch: int = setting(
        2048,
        label="Batch",
        minimum=256,
        maximum=16_384,
        unit="tokens",
        group=SPEED,
        advanced=True,
        help="Prompt tokens read in one step, rounded up to 256. More is faster and takes more memory.",
    )


def memory_demand(
    facts: ModelFacts, settings: ExllamaSettings, cache_bits: tuple[float, float], main_memory: int = 0
) -> Demand:
    """Return the memory that a load takes, all on cards.

    `cache_bits`: per element of keys and of values; a quantized cache has a 16-bit scale for each 32 elements.
    `main_memory`: bytes that the engine takes there beside itself. A draft model has a cache of as many tokens and the
    same type.
    """
    context = settings.context
    if context == type(settings).context and facts.context:
        context = min(context, facts.context)
    demand = Demand(
        process=1200 * MEBIBYTE + main_memory,
        context=context,
        cache_tokens=max(context, settings.cache_tokens),
        cache_bits=cache_bits,
        batch=settings.batch,
        activation=2,
        gpu_layers=-1,
        gpu_split=parse_split(settings.gpu_split),
        gpu_process=500 * MEBIBYTE,
    )
    return replace(demand, draft=draft_demand(settings.draft_model, Path(facts.path), demand))
