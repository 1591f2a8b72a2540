"""What is known of a model on disk before it is loaded, and of the machine: what a loader's spec judges by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """One fact and where it was read: ("bits", "4", "config.json: quantization_config")."""

    fact: str
    value: str
    source: str


# What a model is for: to write text, vectors of texts, scores of pairs, labels, gaps, other texts, or no text at all.
PURPOSES = ("generate", "embed", "rerank", "classify", "encode", "encode-decode", "other")


# The format of what detection does not know; a loader may still claim it.
UNKNOWN = "unknown"


@dataclass(frozen=True)
class ModelFacts:
    """A model in `models/`. Zero and "" mean unknown.

    `name`: path below `models/` with forward slashes; `path`: the folder or the file; `format`: "gguf", "safetensors",
    "pickle", "remote" (on another server), the quantization method that a folder names ("gptq", "fp8", or one that
    Paddock does not know), or "unknown"; `dtype`: of the weights: "F16", "Q8_0", ...; `layer_bytes`,
    `layer_parameters`: of the tensors of all layers together, as they are on disk; `intermediate`: width of the MLP;
    `purpose`: one of PURPOSES; `vision`: it sees images too, where its engine can.
    `problems`: sentences saying why it cannot be loaded as it is; `warnings`: what the owner should know.
    """

    name: str
    path: str
    format: str
    size_bytes: int = 0
    dtype: str = ""
    architecture: str = ""
    parameters: int = 0
    layer_bytes: int = 0
    layer_parameters: int = 0
    context: int = 0
    layers: int = 0
    hidden: int = 0
    intermediate: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    vocabulary: int = 0
    bits: float = 0
    group_size: int = 0
    act_order: bool | None = None
    template: str = ""
    purpose: str = ""
    vision: bool = False
    evidence: tuple[Evidence, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def sources(self, fact: str) -> dict[str, str]:
        """Return what the evidence says of `fact`: source -> value, the most trusted first."""
        return {item.source: item.value for item in self.evidence if item.fact == fact}


@dataclass(frozen=True)
class Gpu:
    """An accelerator: `kind` is "cuda", "rocm" or "metal"; memory in bytes."""

    kind: str
    name: str
    total_bytes: int = 0
    free_bytes: int = 0


@dataclass(frozen=True)
class Machine:
    """This machine, as far as can be told without torch. `system`: "linux", "darwin" or "windows". `bfloat16`: whether
    the processor computes with it."""

    system: str
    architecture: str
    cpus: int
    memory_bytes: int
    free_bytes: int
    gpus: tuple[Gpu, ...] = ()
    bfloat16: bool = False

    def has(self, kind: str) -> bool:
        """Whether there is an accelerator of that kind; "cpu" is always there."""
        return kind == "cpu" or any(gpu.kind == kind for gpu in self.gpus)


# What the proposed loader shall be best at.
AIMS = ("balance", "quality", "speed", "memory")


@dataclass(frozen=True)
class Claim:
    """A loader's word on a model here: `score` ranks (0 to 100), `reason` is a sentence for the user.

    `runs`: False where it reads the format, but not this model; `reason` then says why. `quality`, `speed`, `memory`:
    what the score gains, or loses, where that is the user's aim.
    """

    score: int
    reason: str
    runs: bool = True
    quality: int = 0
    speed: int = 0
    memory: int = 0


def unsupported_bits_reason(title: str, facts: ModelFacts, bits: tuple[int, ...]) -> str:
    """Why `title` cannot take a packed model: it reads weights of `bits` bits only."""
    allowed = ", ".join(map(str, bits))
    return (
        f"The weights have {facts.bits:g} bits each, and {title} reads {facts.format.upper()} of {allowed}. "
        "Choose another loader, or another quantization of this model."
    )
