"""What a load will take, before it is tried: weights, KV cache, and what the engine needs besides."""

from __future__ import annotations

from dataclasses import dataclass

from modules.library.sizes import in_words
from modules.protocol.model import Machine, ModelFacts

# A worker with its engine and libraries, before any model.
_PROCESS = 200 << 20
# Tokens of a prompt that an engine works on at once: for each it holds logits and some activations in 32 bits.
_BATCH = 512
_ACTIVATIONS = 16
# Where the facts do not say it.
_CONTEXT = 4096


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a load takes. `context`: the tokens that `cache` was reckoned for."""

    weights: int
    cache: int
    overhead: int
    context: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.overhead


def estimate(facts: ModelFacts, context: int = 0, cache_bytes_per_element: float = 2.0) -> MemoryEstimate:
    """What the model takes with `context` tokens (0: its own, or 4096).

    Weights: the files' size, as engines keep them as they are on disk. KV cache: layers × KV heads × head size × 2
    (keys and values) × context × bytes of one element (2: 16 bits, 1.0625: Q8_0, 0.5625: Q4_0). Overhead: the worker,
    and logits and activations of one batch of the prompt. A model that shrinks its cache in ways of its own (sliding
    window, latent attention) takes less than this says.
    """
    context = context or facts.context or _CONTEXT
    cache = facts.layers * facts.kv_heads * facts.head_dim * 2 * context * cache_bytes_per_element
    batch = min(context, _BATCH) * (facts.vocabulary + _ACTIVATIONS * facts.hidden) * 4
    return MemoryEstimate(facts.size_bytes, round(cache), _PROCESS + batch, context)


def fits(planned: MemoryEstimate, machine: Machine) -> str:
    """ "" if the plan fits into what is free now, all devices together, else a sentence with what to lower."""
    shared = any(gpu.kind == "metal" for gpu in machine.gpus)
    free = machine.free_bytes + (0 if shared else sum(gpu.free_bytes for gpu in machine.gpus))
    if planned.total <= free:
        return ""
    needs = f"This needs about {in_words(planned.total)}, and {in_words(free)} are free."
    room = free - planned.weights - planned.overhead
    if room >= planned.cache // 8 and planned.cache:
        tokens = max(256, planned.context * room // planned.cache // 256 * 256)
        return f"{needs} Lower Context length to {tokens}, or choose a smaller cache type."
    return f"{needs} Choose a smaller model or a smaller quantization of it, or close other programs."
