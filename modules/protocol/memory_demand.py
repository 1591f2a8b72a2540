"""The memory that a load needs, as a loader's spec declares it. modules/library/memory_plan.py computes the bytes."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.model_facts import Machine

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Demand:
    """The memory for one model with one set of settings. Settings with equal demands need equal memory.

    process: bytes of the worker with its engine, after a first reply and without a model.
    weight_bits: bits per weight of the loaded layers; other_bits: of embeddings, head and norms. 0: as on disk.
    extra_weights: bytes of further files, such as a projector for images.
    context: context length in tokens; cache_tokens: tokens that the cache has room for, if different; caches: how many
    of them there are.
    cache_bits: bits per element of keys and of values. cache_at_load: the cache is allocated while loading.
    cache_bytes: size of the cache, if the loader computes it itself.
    batch: tokens computed at once; activation: bytes per activation; logits: tokens whose logits are stored.
    mask: bytes of the attention mask for each pair of a token in the batch and one in the context.
    unpacking: bytes per weight of the largest matrix, if packed weights are unpacked for each product.
    as_llama_cpp: cards hold whole layers, the head counts as the last, and the input embeddings stay in main memory.
    gpu_layers: layers on accelerators (0: none, -1: all); cache_on_gpu: their cache is there too.
    cpu_experts: the first so many layers keep their experts in main memory (-1: all).
    gpu_cards: numbers of the accelerators that are used; empty: all. gpu_split: their shares, in that order; empty: by
    free memory. gpu_process: bytes of the engine on each of them.
    gpu_logits: as `logits`, on accelerators, for an engine that allocates them while loading.
    draft: the draft model that is loaded beside the model.
    """

    process: int = 0
    weight_bits: float = 0
    other_bits: float = 0
    extra_weights: int = 0
    context: int = 0
    cache_tokens: int = 0
    caches: int = 1
    cache_bits: tuple[float, float] = (16, 16)
    cache_at_load: bool = True
    cache_bytes: int | None = None
    batch: int = 512
    activation: int = 4
    logits: int = 1
    mask: float = 0
    unpacking: float = 0
    as_llama_cpp: bool = False
    gpu_layers: int = 0
    cache_on_gpu: bool = True
    cpu_experts: int = 0
    gpu_cards: tuple[int, ...] = ()
    gpu_split: tuple[float, ...] = ()
    gpu_process: int = 0
    gpu_logits: int = 1
    draft: DraftDemand | None = None


@dataclass(frozen=True)
class DraftDemand:
    """A draft model: its file or folder, and its own demand, without the worker's process."""

    path: str
    demand: Demand


def dtype_bits(dtype: str, machine: Machine, on_gpu: bool) -> int:
    """Return the bits of a data type setting. "auto" is 16 if the GPU or the CPU supports 16-bit floats, else 32."""
    if dtype == "auto":
        return 16 if on_gpu or machine.bfloat16 else 32
    return 32 if dtype == "float32" else 16


def parse_split(text: str) -> tuple[float, ...]:
    """Return the shares in a setting such as "20, 22"; () if there are none or one is not a number."""
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        return ()
