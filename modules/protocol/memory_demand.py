"""What a load asks of memory, as a loader's spec tells it; modules/library/memory_plan.py makes bytes of it."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.model_facts import Machine

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Demand:
    """One load of one model with one set of settings. Two settings with the same demand take the same memory.

    process: bytes of the worker with its engine, after a first reply and without any model.
    weight_bits: of one weight of the layers once loaded; other_bits: of embeddings, head and norms. 0: as on disk.
    context: tokens that the model sees at once; cache_tokens: those that there is a cache for, if not as many.
    cache_bits: of one element of a key and of a value (16, 16). cache_at_load: whether it is taken at once.
    cache_bytes: what the cache takes, where the loader says so itself; layers and heads are then not asked.
    batch: tokens computed at once; activation: bytes of one number of theirs; logits: tokens whose logits are kept.
    mask: bytes that attention takes for each pair of a token in the batch and one in the context.
    unpacking: bytes for each weight of the largest matrix, where packed weights are unpacked for each product.
    gpu_layers: layers on accelerators (0: none, -1: all); cache_on_gpu: whether their cache is there too.
    gpu_split: shares of the accelerators; empty goes by free memory. gpu_process: bytes of an engine on each of them.
    gpu_logits: as logits, on accelerators, where an engine takes the room at once.
    """

    process: int = 0
    weight_bits: float = 0
    other_bits: float = 0
    context: int = 0
    cache_tokens: int = 0
    cache_bits: tuple[float, float] = (16, 16)
    cache_at_load: bool = True
    cache_bytes: int | None = None
    batch: int = 512
    activation: int = 4
    logits: int = 1
    mask: float = 0
    unpacking: float = 0
    gpu_layers: int = 0
    cache_on_gpu: bool = True
    gpu_split: tuple[float, ...] = ()
    gpu_process: int = 0
    gpu_logits: int = 1


def dtype_bits(dtype: str, machine: Machine, on_gpu: bool) -> int:
    """Bits of a setting's data type; "auto" is 16 bits where GPU or CPU computes with them, else 32."""
    if dtype == "auto":
        return 16 if on_gpu or machine.bfloat16 else 32
    return 32 if dtype == "float32" else 16


def parse_split(text: str) -> tuple[float, ...]:
    """The shares in a setting such as "20, 22"; () where it holds none, or what is no number (its loader will say)."""
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        return ()
