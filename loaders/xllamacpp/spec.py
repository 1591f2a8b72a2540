"""What the xllamacpp loader declares: llama.cpp's server in-process, with slots and continuous batching."""

from __future__ import annotations

from dataclasses import dataclass, replace

from modules.families.llama_cpp import SAMPLERS, LlamaCppSettings, hardware_reason, is_gguf, memory_demand
from modules.families.llama_cpp_samplers import SERVER_DIFFERENCES, SERVER_SILENCED
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts
from modules.protocol.schema import setting


@dataclass(frozen=True)
class Settings(LlamaCppSettings):
    """llama.cpp's settings, and those that only its server has."""

    slots: int = setting(
        2,
        label="Replies at once",
        minimum=1,
        maximum=32,
        group="Context and cache",
        help="Requests answered side by side; more wait in order. Together they are faster, each alone is slower. They "
        "share the one context, so it costs no memory; raise Context length if several long chats run at once.",
    )
    cache_reuse: int = setting(
        0,
        label="Cache reuse",
        minimum=0,
        maximum=8192,
        unit="tokens",
        group="Context and cache",
        advanced=True,
        help="Keep stretches of at least this many tokens when text before them changed, by shifting them. Faster "
        "after an edit or a cut, not exactly the same text. 0 keeps the unchanged beginning alone.",
    )
    prompt_cache_mb: int = setting(
        0,
        label="Prompt cache",
        minimum=0,
        maximum=1_048_576,
        unit="MB",
        group="Context and cache",
        advanced=True,
        help="Main memory for chats that have no slot at the moment, so that going back to one need not read it again. "
        "0 is off: only as many chats stay warm as there are slots.",
    )


def useful_context(context: int, trained: int, settings: Settings) -> int:
    """Of `context` tokens those that some slot may use: none gets more than the `trained` ones that the model was made
    for (0: unknown)."""
    return min(context, trained * settings.slots) if trained else context


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if not is_gguf(facts):
        return None
    cuda = "for the graphics card, install a CUDA or ROCm build of xllamacpp."
    return Claim(
        90,
        "A GGUF file, which llama.cpp reads as it is. Ready to install, and it answers several chats at once. "
        + hardware_reason(machine, cuda),
    )


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    asked = memory_demand(facts, settings, 48 * MEBIBYTE)
    return replace(asked, context=useful_context(asked.context, facts.context, settings))


SPEC = LoaderSpec(
    name="xllamacpp",
    title="llama.cpp server (xllamacpp)",
    summary="GGUF models through llama.cpp's server in-process: slots, continuous batching, prompt cache, grammars.",
    formats=("gguf",),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    differs=SERVER_DIFFERENCES,
    unheard=SERVER_SILENCED,
    accelerators=("cpu", "cuda", "rocm", "metal"),
    requirements="requirements.txt",
    adapters=("gguf",),
    adapters_note="llama.cpp's server reads the model again for an adapter that is new to it, once all replies have "
    "ended; other weights and a removal take effect at once.",
    probe="import jinja2, xllamacpp; print(xllamacpp.__version__)",
)
