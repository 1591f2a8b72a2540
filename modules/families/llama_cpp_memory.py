"""The memory that llama.cpp takes, for all loaders with it."""

from __future__ import annotations

import re

from modules.families.llama_cpp import AUTOMATIC_CONTEXT, LlamaCppSettings, device_names
from modules.families.llama_reading import reading_settings
from modules.protocol.memory_demand import MEBIBYTE, Demand, parse_split
from modules.protocol.model_facts import ModelFacts
from modules.protocol.model_purpose import READERS

# Bits of one element of the cache: blocks of 32 with a scale of 16 bits, in Q4_1 and Q5_1 an offset of 16 more (ggml).
_CACHE_BITS = {"f32": 32, "bf16": 16, "f16": 16, "q8_0": 8.5, "q5_1": 6, "q5_0": 5.5, "q4_1": 5, "q4_0": 4.5}

# Architectures in llama.cpp that read a text at once and keep nothing of it.
_ENCODERS = re.compile("bert|t5encoder|gemma-embedding")


def memory_demand(facts: ModelFacts, settings: LlamaCppSettings, process: int) -> Demand:
    """Return the memory that llama.cpp needs. `process`: bytes of the loader's worker without a model.

    Weights stay as they are in the file. The cache is cleared, and so allocated, while loading. A card allocates the
    logits of a whole micro-batch, main memory only those that are written. The attention mask has 32 bits, and 16 more
    for flash attention. An encoder has no cache.
    """
    if facts.purpose in READERS:
        settings = reading_settings(settings, facts.context)
    context = settings.context or min(facts.context or AUTOMATIC_CONTEXT, AUTOMATIC_CONTEXT)
    batch = min(settings.batch, settings.micro_batch)
    cards, shares = _cards(settings)
    return Demand(
        process=process,
        context=context,
        cache_bytes=0 if facts.purpose in READERS and _ENCODERS.search(facts.architecture) else None,
        cache_bits=(_CACHE_BITS[settings.cache_type_k], _CACHE_BITS[settings.cache_type_v]),
        batch=batch,
        mask=6,
        as_llama_cpp=True,
        gpu_layers=settings.gpu_layers,
        cache_on_gpu=settings.offload_kv,
        cpu_experts=-1 if settings.cpu_moe else settings.n_cpu_moe,
        gpu_cards=cards,
        gpu_split=shares,
        gpu_process=300 * MEBIBYTE,
        gpu_logits=batch,
    )


def _cards(settings: LlamaCppSettings) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the numbers of the cards in use, empty for all, and their shares, empty for those by free memory. With
    split mode none the main GPU has all."""
    found = (re.fullmatch(r"\D*(\d{1,2})", name) for name in device_names(settings))
    named = tuple(dict.fromkeys(int(match[1]) for match in found if match))
    if settings.split_mode == "none":
        return (named[min(settings.main_gpu, len(named) - 1)] if named else settings.main_gpu,), ()
    return named, parse_split(settings.tensor_split)
