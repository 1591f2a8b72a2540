"""Facts of a model on disk and of the machine, from which a loader's spec decides what it can run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """One fact and its source: ("bits", "4", "config.json: quantization_config")."""

    fact: str
    value: str
    source: str


@dataclass(frozen=True)
class Projector:
    """A file beside a GGUF model that makes tokens of images (`vision`) or of sound (`audio`). `kind`: the type of
    projector in its header; `problem`: why it does not fit the model, as a sentence, or ""."""

    name: str
    path: str
    size_bytes: int = 0
    kind: str = ""
    problem: str = ""
    vision: bool = True
    audio: bool = False


# The purpose of a model: generating text, embedding, scoring pairs, classifying, filling gaps, rewriting, or no text.
PURPOSES = ("generate", "embed", "rerank", "classify", "encode", "encode-decode", "other")


# The format of a model that detection does not know. A loader may still claim it.
UNKNOWN = "unknown"


@dataclass(frozen=True)
class ModelFacts:
    """A model in `models/`. Zero and "" mean unknown.

    `name`: path below `models/` with forward slashes; `path`: the folder or the file; `format`: "gguf", "safetensors",
    "pickle", "remote" (on another server), the quantization method that a folder names ("gptq", "fp8", or one that
    Paddock does not know), or "unknown"; `dtype`: of the weights: "F16", "Q8_0", ...; `layer_bytes`,
    `layer_parameters`: of all layers' tensors together, as on disk; `expert_bytes`: those of the experts of a
    mixture of experts, of a GGUF file; `intermediate`: width of the MLP; `input_widths`, `output_widths`: the different
    numbers of inputs and of outputs of the layers' matrices, of a model in full precision;
    `purpose`: one of PURPOSES; `vision`, `audio`: it accepts images or sound too; `projectors`: files for these beside
    a GGUF model, the best first.
    `problems`: sentences saying why it cannot be loaded; `warnings`: sentences for the user.
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
    expert_bytes: int = 0
    context: int = 0
    layers: int = 0
    hidden: int = 0
    intermediate: int = 0
    input_widths: tuple[int, ...] = ()
    output_widths: tuple[int, ...] = ()
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
    audio: bool = False
    projectors: tuple[Projector, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def sources(self, fact: str) -> dict[str, str]:
        """Return what the evidence says of `fact`: source -> value, the most trusted first."""
        return {item.source: item.value for item in self.evidence if item.fact == fact}


@dataclass(frozen=True)
class Gpu:
    """An accelerator: `kind` is "cuda", "rocm", "metal", or "vulkan" for a card that only Vulkan drives here.

    Memory in bytes; 0 and "" mean unknown. `architecture`: NVIDIA's compute capability ("8.9") or AMD's target
    ("gfx1100"). `driver`: the driver's version. `api`: the newest CUDA that the driver supports, or the installed ROCm.
    """

    kind: str
    name: str
    total_bytes: int = 0
    free_bytes: int = 0
    architecture: str = ""
    driver: str = ""
    api: str = ""


@dataclass(frozen=True)
class Machine:
    """This machine, inspected without torch.

    `system`: "linux", "darwin" or "windows". `bfloat16`: the CPU has it. `vulkan`: the Vulkan loader is installed.
    `glibc`: version of the C library, "" if it is another one. `compilers`: those for cards that are on the search
    path: "nvcc" (CUDA), "hipcc" (ROCm), "glslc" (Vulkan).
    """

    system: str
    architecture: str
    cpus: int
    memory_bytes: int
    free_bytes: int
    gpus: tuple[Gpu, ...] = ()
    bfloat16: bool = False
    vulkan: bool = False
    glibc: str = ""
    compilers: tuple[str, ...] = ()

    def has(self, kind: str) -> bool:
        """Return True if the machine has this kind of accelerator. It always has "cpu"."""
        return kind == "cpu" or any(gpu.kind == kind for gpu in self.gpus)


# What the proposed loader is optimised for.
AIMS = ("balance", "quality", "speed", "memory")


@dataclass(frozen=True)
class Claim:
    """A loader's claim on a model on this machine. `score` (0 to 100) ranks it; `reason` is a sentence for the user.

    `runs`: False if it reads the format but not this model; `reason` then says why. `quality`, `speed`, `memory`:
    added to the score if the user prefers that.
    """

    score: int
    reason: str
    runs: bool = True
    quality: int = 0
    speed: int = 0
    memory: int = 0


def unsupported_bits_reason(title: str, facts: ModelFacts, bits: tuple[int, ...]) -> str:
    """Return why the loader `title`, which reads weights of `bits` bits only, cannot load a packed model."""
    allowed = ", ".join(map(str, bits))
    return (
        f"The weights have {facts.bits:g} bits each, and {title} reads {facts.format.upper()} of {allowed}. "
        "Choose another loader, or another quantization of this model."
    )
