"""Plan the memory of a load before it starts: weights, KV cache, compute buffers and the worker, per device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from modules.library.draft_models import draft_facts
from modules.library.layer_placement import CardLayers, divide_evenly, place_as_llama_cpp
from modules.library.sizes import format_size
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Gpu, Machine, ModelFacts

# Defaults if neither the loader nor the facts say it.
_CONTEXT = 4096
_PROCESS = 200 * MEBIBYTE
MAIN_MEMORY = "Main memory"


@dataclass(frozen=True)
class DeviceShare:
    """What a load takes on one device, in bytes. `twin`: which of the cards with this name it is."""

    device: str
    free: int
    weights: int = 0
    cache: int = 0
    compute: int = 0
    process: int = 0
    twin: int = 0

    @property
    def total(self) -> int:
        """The sum, at its peak."""
        return self.weights + self.cache + self.compute + self.process


@dataclass(frozen=True)
class MemoryPlan:
    """One share per device, main memory first.

    `context` is in tokens. `gpu_layers` of `layers` are on accelerators; for llama.cpp the head is one of them.
    `at_load`: bytes of main memory right after the load. `measured`: True if an earlier load on this machine corrected
    the figures.
    """

    shares: tuple[DeviceShare, ...]
    context: int
    layers: int
    gpu_layers: int
    at_load: int
    measured: bool = False

    @property
    def total(self) -> int:
        """Bytes on all devices together."""
        return sum(share.total for share in self.shares)

    @property
    def fits(self) -> bool:
        """True if every device has room for its share."""
        return all(share.total <= share.free for share in self.shares)


def memory_demand(facts: ModelFacts, spec: LoaderSpec, settings: object, machine: Machine) -> Demand:
    """Return the memory that a load needs, from the loader's spec. By default: weights as on disk, and the context."""
    if spec.memory is not None:
        return spec.memory(facts, settings, machine)
    wanted = int(getattr(settings, "context", 0) or facts.context or _CONTEXT)
    return Demand(process=_PROCESS, context=min(wanted, facts.context or wanted))


def plan_memory(facts: ModelFacts, demand: Demand, machine: Machine) -> MemoryPlan:
    """Return what a load takes on each device.

    Weights: of layers and others (embeddings, head, norms), each as on disk or with the bits to which the loader
    converts them. Each KV cache: layers × KV heads × head size × tokens × (bits of a key + bits of a value) / 8.
    Compute: for one batch the activations of MLP and residual, the attention mask, logits, and the largest matrix
    unpacked. A model with a smaller cache (sliding window, latent attention) takes less than planned. A draft model
    takes as much for itself; packed ones stay as they are.
    """
    most, on_gpu = _layers_on_cards(facts, demand, machine)
    shares = _shares(facts, demand, machine)
    at_load = _at_load(shares[0], demand)
    if (draft := demand.draft) and (draft_model := draft_facts(draft.path)):
        packed = draft_model.format not in ("gguf", "safetensors")
        asked = replace(draft.demand, weight_bits=0, other_bits=0) if packed else draft.demand
        own = _shares(draft_model, asked, machine)
        at_load += _at_load(own[0], asked)
        shares = [_sum(*pair) for pair in zip(shares, own, strict=True)]
    used = [share for share in shares[1:] if share.total]
    return MemoryPlan((shares[0], *used), demand.context, most if facts.layers else 0, on_gpu, at_load)


def _at_load(main: DeviceShare, demand: Demand) -> int:
    return main.weights + main.process + (main.cache if demand.cache_at_load else 0)


def _sum(one: DeviceShare, other: DeviceShare) -> DeviceShare:
    parts = ("weights", "cache", "compute", "process")
    return replace(one, **{part: getattr(one, part) + getattr(other, part) for part in parts})


def _layers_on_cards(facts: ModelFacts, demand: Demand, machine: Machine) -> tuple[int, int]:
    """Return how many layers the model has, and how many of them are on cards. For llama.cpp the head is one."""
    most = (facts.layers or 1) + (1 if demand.as_llama_cpp else 0)
    if not separate_cards(machine):
        return most, 0
    return most, most if demand.gpu_layers < 0 else min(demand.gpu_layers, most)


def _shares(facts: ModelFacts, demand: Demand, machine: Machine) -> list[DeviceShare]:
    """Return the shares of one model: of main memory and of each card, empty for a card that it does not use."""
    layers, others = _weights(facts, demand)
    cache = _cache(facts, demand)
    count = facts.layers or 1
    cards, placed = _place_layers(demand, machine, count, _layers_on_cards(facts, demand, machine)[1])
    there = sum(card.layers for card in placed)
    head, stays = _head(facts, demand, others) if any(card.head for card in placed) else (0, others)
    # Experts of layers on cards that stay in main memory. Cards have the last layers, and `cpu_experts` counts from the
    # first one.
    first = count if demand.cpu_experts < 0 else min(demand.cpu_experts, count)
    kept = facts.expert_bytes * max(0.0, first - (count - there)) / count
    main = DeviceShare(
        MAIN_MEMORY,
        machine.free_bytes,
        weights=round(layers * (1 - there / count) + kept) + stays,
        cache=round(cache * (1 - there / count)) if demand.cache_on_gpu else cache,
        compute=_compute(facts, demand, demand.logits),
        process=demand.process,
    )
    shares = [
        DeviceShare(
            gpu.name,
            gpu.free_bytes,
            weights=round((layers * there / count - kept) * card.layers / (there or 1)) + (head if card.head else 0),
            cache=round(cache * card.layers / count) if demand.cache_on_gpu else 0,
            compute=_compute(facts, demand, demand.gpu_logits),
            process=demand.gpu_process,
            twin=twin,
        )
        if card.layers or card.head
        else DeviceShare(gpu.name, gpu.free_bytes, twin=twin)
        for gpu, card, twin in zip(cards, placed, twins(cards), strict=True)
    ]
    return [main, *shares]


def _place_layers(demand: Demand, machine: Machine, layers: int, on_gpu: int) -> tuple[list[Gpu], list[CardLayers]]:
    """Return the cards and what they hold, by the loader's split, else by free memory."""
    cards = separate_cards(machine)
    used = [card for card in demand.gpu_cards if card < len(cards)] or list(range(len(cards)))
    given = dict(zip(used, demand.gpu_split, strict=False))
    if not any(given.values()):
        given = {card: float(cards[card].free_bytes) or 1.0 for card in used}
    shares = [given.get(card, 0.0) for card in range(len(cards))]
    place = place_as_llama_cpp if demand.as_llama_cpp else divide_evenly
    return cards, place(layers, on_gpu, shares) if on_gpu else [CardLayers() for _ in cards]


def _head(facts: ModelFacts, demand: Demand, others: int) -> tuple[int, int]:
    """Return the bytes of all but the layers, as (on the card with the head, in main memory).

    llama.cpp leaves the input embeddings in main memory. They are the head too, on the card, if the file has only one
    of the two matrices.
    """
    if not demand.as_llama_cpp:
        return others, 0
    beside = facts.parameters - facts.layer_parameters
    is_tied = facts.vocabulary * facts.hidden * 3 // 2 > beside
    return (others, others) if is_tied else (others - others // 2, others // 2)


def _weights(facts: ModelFacts, demand: Demand) -> tuple[int, int]:
    """Return the bytes of the loaded weights, as (of the layers, of all others)."""
    on_disk = facts.layer_bytes or facts.size_bytes
    counted = facts.layer_parameters or facts.parameters
    layers = round(counted * demand.weight_bits / 8) if demand.weight_bits and counted else on_disk
    rest, beside = max(0, facts.parameters - counted), max(0, facts.size_bytes - on_disk)
    others = round(rest * demand.other_bits / 8) if demand.other_bits and counted else beside
    return layers, others + demand.extra_weights


def _cache(facts: ModelFacts, demand: Demand) -> int:
    if demand.cache_bytes is not None:
        return demand.cache_bytes
    tokens = demand.cache_tokens or demand.context
    return round(facts.layers * facts.kv_heads * facts.head_dim * tokens * demand.caches * sum(demand.cache_bits) / 8)


def _compute(facts: ModelFacts, demand: Demand, logits: int) -> int:
    batch = min(demand.batch, demand.context or demand.batch)
    # Alive at once at the widest place: residual, normed input, gate, up and their product.
    wide = 2 * facts.hidden + 3 * (facts.intermediate or 4 * facts.hidden)
    mask = batch * (demand.cache_tokens or demand.context) * demand.mask
    unpacked = facts.hidden * (facts.intermediate or 4 * facts.hidden) * demand.unpacking
    return round(batch * wide * demand.activation + mask + unpacked + min(logits, batch) * facts.vocabulary * 4)


def twins(cards: Sequence[Gpu]) -> list[int]:
    """Return DeviceShare.twin of each card."""
    return [sum(other.name == card.name for other in cards[:number]) for number, card in enumerate(cards)]


def separate_cards(machine: Machine) -> list[Gpu]:
    """Return accelerators with separate memory. A Mac's GPU shares main memory, which is counted already."""
    return [gpu for gpu in machine.gpus if gpu.kind != "metal"]


def plan_sentence(planned: MemoryPlan) -> str:
    """Return the plan as text: each device with its parts."""
    texts = []
    for share in planned.shares:
        parts = [f"{name.lower()} {format_size(size)}" for name, size in memory_parts(share, planned) if size]
        texts.append(f"{format_size(share.total)} of {_place(share.device)} ({', '.join(parts)})")
    source = " Measured on this machine." if planned.measured else ""
    return f"Takes about {' and '.join(texts)}.{source}"


def memory_parts(share: DeviceShare, planned: MemoryPlan) -> list[tuple[str, int]]:
    """Return (name, bytes) of each part of a share, in the order of the memory bar."""
    return [
        ("Weights", share.weights),
        (f"Context of {planned.context:,} tokens", share.cache),
        ("Compute", share.compute),
        ("Environment", share.process),
    ]


def memory_shortage(planned: MemoryPlan, context: int = 0, gpu_layers: int = 0) -> str:
    """Return "" if each device has room for its share, else a sentence with what to lower.

    `context`, `gpu_layers`: the values that would fit (see `largest_fitting`), 0 if none does.
    """
    short = [share for share in planned.shares if share.total > share.free]
    if not short:
        return ""
    needs = " and ".join(
        f"{format_size(share.total)} of {_place(share.device)}, where {format_size(share.free)} are free"
        for share in short
    )
    if context:
        step = f"Lower Context length to {context}, or choose a smaller cache type."
    elif gpu_layers:
        step = f"Lower GPU layers to {gpu_layers}."
    else:
        step = "Choose a smaller model or a smaller quantization of it, or close other programs."
    return f"This needs about {needs}. {step}"


def _place(device: str) -> str:
    return "main memory" if device == MAIN_MEMORY else f"{device}'s memory"


def largest_fitting(most: int, fits: Callable[[int], bool], step: int = 1) -> int:
    """Return the largest multiple of `step` up to `most` that fits (or `most` itself), 0 if none does.

    If a value fits, all smaller values must fit.
    """
    if fits(most):
        return most
    low, high = 0, most // step + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle * step) else (low, middle)
    return low * step


def gguf_shortage(size: int, machine: Machine) -> str:
    """Return "" if a GGUF file of `size` bytes fits into what is free on all devices, else why not."""
    need = size + _PROCESS
    free = machine.free_bytes + sum(gpu.free_bytes for gpu in separate_cards(machine))
    if need <= free:
        return ""
    return (
        f"This needs about {format_size(need)}, and {format_size(free)} are free. Choose a smaller model or a smaller "
        "quantization of it, or close other programs."
    )
