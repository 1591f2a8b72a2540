"""What the echo loader declares: a fake engine that streams, hangs, crashes or fills memory on request, for tests."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import PURPOSES, Claim, Machine, ModelFacts
from modules.protocol.quantization_method import QuantizationMethod
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import describe, setting

QUANTIZER_BEHAVIOURS = ("copy", "refuse", "crash", "full", "hang", "resume")
BEHAVIOURS = ("reply", "refuse", "memory", "crash", "exit", "hang", "child")


@dataclass(frozen=True)
class Settings:
    """What the fake engine does while loading, and how it answers."""

    context: int = setting(
        4096, label="Context length", minimum=16, maximum=1_000_000, unit="tokens", help="A token is one word here."
    )
    slots: int = setting(
        2, label="Replies at once", minimum=1, maximum=8, help="How many generations run at the same time."
    )
    delay: float = setting(
        0.0,
        label="Pause between words",
        minimum=0,
        maximum=10,
        unit="s",
        help="Slows down the reply so that it can be watched.",
    )
    on_load: str = setting(
        "reply",
        label="While loading",
        choices=BEHAVIOURS,
        advanced=True,
        help="How the load fails, if at all.",
    )
    sees_images: bool = setting(
        False,
        label="Sees images",
        advanced=True,
        help="Messages may have images. The reply names each one by the beginning of its SHA-256.",
    )
    hears: bool = setting(
        False,
        label="Hears",
        advanced=True,
        help="Messages may have sounds. The reply names each one by the beginning of its SHA-256.",
    )


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    return Claim(0, "The echo loader accepts any folder and repeats your words, for tests.")


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    """Return the memory of an engine with weights and a cache, so that plans can be tested without one."""
    return Demand(process=30 * MEBIBYTE, context=settings.context, cache_at_load=False)


@dataclass(frozen=True)
class QuantizerSettings:
    """How the fake quantizer ends."""

    behaviour: str = setting("copy", label="Behaviour", choices=QUANTIZER_BEHAVIOURS, help="How the job ends.")


SPEC = LoaderSpec(
    name="echo",
    title="Echo",
    summary="Repeats the prompt. For tests of Paddock itself.",
    formats=("gguf", "safetensors", "unknown"),
    settings=Settings,
    purposes=PURPOSES,
    claim=_claim,
    memory=_memory,
    samplers=frozenset(entry.name for entry in describe(SamplingParams)),
    logprobs=True,
    adapters=("peft",),
    quantizers=(
        QuantizationMethod(
            name="echo",
            title="Echo",
            settings=QuantizerSettings,
            bits=lambda settings: 16,
            label=lambda settings: "echo",
            resumes=True,
            measures=True,
        ),
    ),
    hidden=True,
)
