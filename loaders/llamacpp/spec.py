"""What the llamacpp loader declares: llama.cpp in llama-cpp-python, compiled for this machine's CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from loaders.llamacpp.variants import VARIANTS
from modules.families.draft_vocabulary import MOST_DIFFERENT
from modules.families.drafts import DraftSettings, draft_demand
from modules.families.gguf_quantization import GGUF, held_whole_tensors
from modules.families.llama_cpp import SAMPLERS, LlamaCppSettings, hardware_reason, is_gguf
from modules.families.llama_cpp_memory import memory_demand
from modules.families.llama_cpp_samplers import LIBRARY_DIFFERENCES
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts
from modules.protocol.model_purpose import READERS


@dataclass(frozen=True)
class Settings(DraftSettings, LlamaCppSettings):
    """llama.cpp's settings, and those of drafts."""

    most_different: ClassVar[int] = MOST_DIFFERENT


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if not is_gguf(facts):
        return None
    return Claim(
        80,
        "A GGUF file, which llama.cpp reads as it is. The install compiles llama.cpp for this CPU, which takes "
        "minutes. "
        "One reply at a time. " + hardware_reason(machine),
    )


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    planned = memory_demand(facts, settings, 60 * MEBIBYTE)
    if facts.purpose in READERS:
        return planned
    # A draft model has a cache as long as the model's, of the same type.
    draft = draft_demand(settings.draft_model, Path(facts.path), replace(planned, cpu_experts=0))
    return replace(planned, draft=draft)


SPEC = LoaderSpec(
    name="llamacpp",
    title="llama.cpp (llama-cpp-python)",
    summary="GGUF models with llama.cpp, compiled for this machine. One reply at a time, stopped within one token.",
    formats=("gguf",),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    purposes=("generate", "embed"),
    logprobs=True,
    differs=LIBRARY_DIFFERENCES,
    accelerators=("cpu", "cuda", "rocm", "vulkan", "metal"),
    requirements="requirements.txt",
    variants=VARIANTS,
    quantizers=(replace(GGUF, held=held_whole_tensors),),
    compiled=True,
    logits_hooks=True,
    adapters=("gguf",),
    probe="import jinja2, llama_cpp; print(llama_cpp.__version__)",
)
