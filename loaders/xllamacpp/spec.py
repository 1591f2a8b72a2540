"""What the xllamacpp loader declares: llama.cpp's server in-process, with slots and continuous batching."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from loaders.xllamacpp.variants import VARIANTS
from modules.families.draft_vocabulary import MOST_DIFFERENT
from modules.families.drafts import HeadDraftSettings, draft_demand
from modules.families.gguf_quantization import GGUF
from modules.families.llama_cpp import SAMPLERS, LlamaCppSettings, hardware_reason, is_gguf
from modules.families.llama_cpp_memory import memory_demand
from modules.families.llama_cpp_samplers import SERVER_DIFFERENCES, SERVER_SILENCED
from modules.families.projector import AUTOMATIC, choose_projector
from modules.protocol.errors import PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts
from modules.protocol.model_purpose import READERS
from modules.protocol.schema import setting

_IMAGES = "Images and sound"


@dataclass(frozen=True)
class Settings(HeadDraftSettings, LlamaCppSettings):
    """llama.cpp's settings, and those of its server."""

    most_different: ClassVar[int] = MOST_DIFFERENT
    # The server ends the process at a token that the draft model does not have (build 11549).
    unused_only: ClassVar[bool] = True

    slots: int = setting(
        2,
        label="Replies at once",
        minimum=1,
        maximum=32,
        group="Context and cache",
        help="Requests answered at the same time; further ones wait in order. More tokens per second in total, fewer "
        "for each reply. Without a cache for each reply they share one context.",
    )
    own_caches: str = setting(
        "auto",
        label="A cache for each reply",
        choices=("auto", "on", "off"),
        group="Context and cache",
        help="on: each reply has the whole context for itself, so a long chat neither slows the others nor takes their "
        "room. Takes the memory of the context as many times as there are replies at once. off: they share one. auto: "
        "on if a quarter of the free memory is left then.",
    )
    projector: str = setting(
        AUTOMATIC,
        label="Projector",
        group=_IMAGES,
        help="The file beside the model that makes tokens of images or sound (mmproj). auto: the one that fits. none: "
        "neither, which saves its memory. Or the name of such a file.",
    )
    image_tokens: int = setting(
        0,
        label="Tokens of an image",
        minimum=0,
        maximum=65_536,
        unit="tokens",
        group=_IMAGES,
        advanced=True,
        help="The most that an image may take, for models that take images of any size. Fewer are faster and show less "
        "detail. 0 is the model's own limit.",
    )
    cache_reuse: int = setting(
        0,
        label="Cache reuse",
        minimum=0,
        maximum=8192,
        unit="tokens",
        group="Context and cache",
        advanced=True,
        help="Reuses parts of the cache of at least this many tokens when text before them has changed, by shifting "
        "them. Faster after an edit or a cut, but the text can differ slightly. 0 reuses only the unchanged beginning.",
    )
    prompt_cache_mb: int = setting(
        0,
        label="Prompt cache",
        minimum=0,
        maximum=1_048_576,
        unit="MB",
        group="Context and cache",
        advanced=True,
        help="Main memory for chats without a slot, so that returning to one does not read it again. 0 is off: only as "
        "many chats stay cached as there are slots.",
    )
    more_parameters: str = setting(
        "",
        label="More parameters",
        group="Server",
        advanced=True,
        help="Parameters of llama.cpp's server without a setting, in the names of its CommonParams, such as "
        "swa_full=true, n_ctx_checkpoints=4. A wrong name is answered with the list of them. The memory plan does not "
        "know them.",
    )


def useful_context(context: int, trained: int, settings: Settings) -> int:
    """Return how many tokens all slots together can use, if one chat may have `context` tokens.

    No slot gets more than the trained context `trained` (0: unknown).
    """
    if settings.own_caches == "on":
        return settings.slots * (min(context, trained) if trained else context)
    return min(context, trained * settings.slots) if trained else context


def step_tokens(settings: Settings, context: int) -> int:
    """Return how many tokens the server computes at once: as many for each slot. With a rest llama.cpp would end the
    process while it loads (`graph_reserve` with pooled embeddings)."""
    most = min(settings.micro_batch, settings.batch, context)
    return max(most - most % settings.slots, settings.slots)


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if not is_gguf(facts):
        return None
    return Claim(
        90,
        "A GGUF file, which llama.cpp reads as it is. Installs in seconds and answers several chats at once. "
        + hardware_reason(machine),
    )


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    planned = memory_demand(facts, settings, 48 * MEBIBYTE)
    if facts.purpose in READERS:
        return planned
    tokens = useful_context(planned.context, facts.context, settings)
    try:
        projector = choose_projector(settings.projector, facts.projectors)
    except PaddockError:  # the load says why
        projector = None
    caches = settings.slots if settings.own_caches == "on" else 1
    planned = replace(planned, context=tokens // caches, caches=caches, batch=step_tokens(settings, tokens))
    # A draft model has as many caches, as long as the model's, in the server's default type.
    own = replace(planned, cache_bits=(16, 16), cpu_experts=0)
    draft = draft_demand(settings.draft_model, Path(facts.path), own)
    return replace(planned, extra_weights=projector.size_bytes if projector else 0, draft=draft)


SPEC = LoaderSpec(
    name="xllamacpp",
    title="llama.cpp server (xllamacpp)",
    summary="GGUF models through llama.cpp's server in-process: slots, continuous batching, prompt cache, grammars.",
    formats=("gguf",),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    automatic={"own_caches": ("on", "off")},
    samplers=SAMPLERS,
    purposes=("generate", "embed", "rerank"),
    logprobs=True,
    differs=SERVER_DIFFERENCES,
    unheard=SERVER_SILENCED,
    accelerators=("cpu", "cuda", "rocm", "vulkan", "metal"),
    requirements="requirements.txt",
    variants=VARIANTS,
    quantizers=(GGUF,),
    adapters=("gguf",),
    adapters_note="For a new adapter llama.cpp's server loads the model again, once all replies have ended. Changes of "
    "weight and removals take effect at once.",
    probe="import jinja2, xllamacpp; print(xllamacpp.__version__)",
)
