"""The decision tree: which methods come first, for which hardware and aim, and why."""

from __future__ import annotations

from dataclasses import dataclass

from modules.library.memory_plan import separate_cards
from modules.protocol.model_facts import Machine

# They are rounded for the text that they are calibrated with; the others take none.
_CALIBRATED = ("awq", "gptq", "exl2", "exl3", "w8a8")
_REST = ("gguf", "awq", "gptq", "nf4", "hqq", "int8", "exl2", "exl3", "w8a8")


@dataclass(frozen=True)
class Situation:
    """`device`: "cuda", "rocm", "metal" or "cpu". `aim`: one of AIMS. `fine_tune`: the model is to be trained.

    `on_card`: the model in 4 bits fits the graphics card whole. `calibration`: there is text like what the model will
    write."""

    device: str
    aim: str = "balance"
    fine_tune: bool = False
    on_card: bool = True
    calibration: bool = True


@dataclass(frozen=True)
class Preference:
    """Methods from best to worst, a sentence on the situation, and the bits to aim at."""

    methods: tuple[str, ...]
    reason: str
    bits: float


def choose_preference(situation: Situation) -> Preference:
    """Return what comes first in a situation. Every method is in the order; what cannot run here is left out later."""
    preference = _for_hardware(situation)
    first = preference.methods[0]
    if situation.calibration or first not in _CALIBRATED:
        return preference
    methods = tuple(sorted(preference.methods, key=lambda name: name in _CALIBRATED))
    sentence = "Without text like what the model will write, methods that are not calibrated come first."
    return Preference(methods, sentence, preference.bits)


def _for_hardware(situation: Situation) -> Preference:
    bits = {"quality": 5.7, "memory": 3.9}.get(situation.aim, 4.9)
    if situation.fine_tune:
        return _preference(("nf4", "int8"), "QLoRA trains an adapter on a base in NF4, in the least memory.", bits)
    if situation.device in ("cuda", "rocm") and not situation.on_card:
        return _preference(
            ("gguf",),
            "The model does not fit the card whole: GGUF keeps some layers on it and the others on the CPU.",
            bits,
        )
    if situation.device == "cuda":
        return _cuda(situation.aim, bits)
    if situation.device == "rocm":
        return _preference(
            ("gguf", "gptq", "awq"),
            "On AMD, llama.cpp runs with ROCm or Vulkan; GPTQ and AWQ where their kernels do.",
            bits,
        )
    if situation.device == "metal":
        return _preference(("gguf",), "On a Mac, llama.cpp computes with Metal in the shared memory.", bits)
    order = ("gguf", "awq", "gptq", "hqq")
    sentence = "On a CPU, llama.cpp is the fastest engine: Q4_K_M, or Q5_K_M for quality."
    if situation.aim == "memory":
        sentence = "On a CPU with little memory, GGUF has types down to 2 bits; below Q3_K the loss shows."
    return _preference(order, sentence, bits)


def _cuda(aim: str, bits: float) -> Preference:
    if aim == "quality":
        return _preference(
            ("awq", "gptq", "int8", "exl3", "exl2", "hqq"),
            "AWQ and GPTQ are calibrated on text, so 4 bits lose little on an NVIDIA card.",
            bits,
        )
    if aim == "speed":
        return _preference(
            ("gptq", "exl2", "awq", "w8a8", "exl3"),
            "GPTQ and EXL2 have the fastest kernels: ExLlamaV2 for one chat, vLLM for many at once.",
            bits,
        )
    if aim == "memory":
        return _preference(
            ("exl3", "exl2", "gguf", "gptq", "hqq"),
            "EXL3 and EXL2 take any number of bits, GGUF types down to 2.",
            bits,
        )
    return _preference(
        ("awq", "gptq", "nf4", "gguf"),
        "AWQ and GPTQ are fast and exact in 4 bits on an NVIDIA card; NF4 is ready at once, without calibration.",
        bits,
    )


def _preference(first: tuple[str, ...], reason: str, bits: float) -> Preference:
    return Preference((*first, *(name for name in _REST if name not in first)), reason, bits)


def mixed_memory(machine: Machine, bytes_in_4_bits: int) -> bool:
    """Return True if the cards' memory together is too small for the model in 4 bits and a context (a fifth more)."""
    cards = [gpu.free_bytes for gpu in separate_cards(machine)]
    return bool(cards) and bytes_in_4_bits * 1.2 > sum(cards)
