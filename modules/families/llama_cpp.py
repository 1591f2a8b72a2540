"""Settings and samplers that all loaders with llama.cpp declare.

A spec may import this package, but not another loader.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.model_facts import Machine, ModelFacts
from modules.protocol.sampling import ALL_SAMPLERS
from modules.protocol.schema import setting

# Used if Context length is 0 and the model's own is longer: enough for a long chat, with little memory.
AUTOMATIC_CONTEXT = 8192

# From most to least memory, so that lowering takes the next one. The names are llama.cpp's.
CACHE_TYPES = ("f32", "bf16", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")

# Settings to lower when memory runs out, the one with the least effect first.
LOWER_FOR_MEMORY = ("context", "cache_type_k", "cache_type_v", "batch", "micro_batch")

SAMPLERS = ALL_SAMPLERS - {
    "encoder_repetition_penalty",
    "epsilon_cutoff",
    "eta_cutoff",
    "guidance_scale",
    "negative_prompt",
    "no_repeat_ngram_size",
    "smoothing_curve",
    "smoothing_factor",
    "tfs",
    "top_a",
}

_CONTEXT = "Context and cache"
_CPU = "Processor"
_GPU = "Graphics card"
_MEMORY = "Memory"
_ROPE = "RoPE"


@dataclass(frozen=True)
class LlamaCppSettings:
    """How llama.cpp loads and runs a model. Defaults are llama.cpp's unless they would fill the memory."""

    context: int = setting(
        0,
        label="Context length",
        minimum=0,
        maximum=4_194_304,
        unit="tokens",
        group=_CONTEXT,
        help="How many tokens the model can use at once. More needs more memory. 0 uses the model's own length, at "
        f"most {AUTOMATIC_CONTEXT}. Beyond the trained length quality drops, unless RoPE is scaled.",
    )
    cache_type_k: str = setting(
        "f16",
        label="Cache type, K",
        choices=CACHE_TYPES,
        group=_CONTEXT,
        help="Precision of cached keys. q8_0 halves the context's memory with almost no loss; q4_0 quarters it with a "
        "noticeable loss.",
    )
    cache_type_v: str = setting(
        "f16",
        label="Cache type, V",
        choices=CACHE_TYPES,
        group=_CONTEXT,
        help="Precision of cached values. Quantized types (q8_0 and below) need flash attention.",
    )
    flash_attention: str = setting(
        "auto",
        label="Flash attention",
        choices=("auto", "on", "off"),
        group=_CONTEXT,
        help="Less memory and usually more speed with long contexts. auto uses it if the device supports it.",
    )
    threads: int = setting(
        0,
        label="Threads",
        minimum=0,
        maximum=512,
        group=_CPU,
        help="Threads for generating. The number of physical cores is best. 0 uses that, or one for a tiny model.",
    )
    threads_batch: int = setting(
        0,
        label="Threads, prompt",
        minimum=0,
        maximum=512,
        group=_CPU,
        help="Threads for processing the prompt, which can use every core. 0 is automatic.",
    )
    batch: int = setting(
        512,
        label="Batch",
        minimum=16,
        maximum=16_384,
        unit="tokens",
        group=_CPU,
        advanced=True,
        help="Tokens of the prompt that are processed in one step. Stop takes effect between steps.",
    )
    micro_batch: int = setting(
        512,
        label="Micro-batch",
        minimum=16,
        maximum=16_384,
        unit="tokens",
        group=_CPU,
        advanced=True,
        help="Tokens computed together. More is faster for prompts on a graphics card and needs more memory.",
    )
    numa: str = setting(
        "off",
        label="NUMA",
        choices=("off", "distribute", "isolate", "numactl"),
        group=_CPU,
        advanced=True,
        help="How threads are spread over the sockets of a machine with several.",
    )
    gpu_layers: int = setting(
        -1,
        label="GPU layers",
        minimum=-1,
        maximum=1024,
        unit="layers",
        group=_GPU,
        help="Layers of the model on the graphics card, the last ones first and the output as one of them: each is "
        "faster there and needs graphics memory. -1: all. Has no effect without a graphics card.",
    )
    devices: str = setting(
        "",
        label="Devices",
        group=_GPU,
        advanced=True,
        help="Which graphics cards to use, by llama.cpp's names, such as CUDA0,CUDA1 or Vulkan0. Empty: all. A wrong "
        "name is answered with those that there are.",
    )
    split_mode: str = setting(
        "layer",
        label="Split mode",
        choices=("layer", "row", "none"),
        group=_GPU,
        advanced=True,
        help="How the model is split over several graphics cards: by layers, by rows of each layer, or not.",
    )
    main_gpu: int = setting(
        0,
        label="Main GPU",
        minimum=0,
        maximum=15,
        group=_GPU,
        advanced=True,
        help="The card for everything with split mode none, and for intermediate results with row.",
    )
    tensor_split: str = setting(
        "",
        label="Tensor split",
        group=_GPU,
        advanced=True,
        help="Share of each graphics card, such as 3,1 for three quarters on the first. Empty: by free memory.",
    )
    cpu_moe: bool = setting(
        False,
        label="Experts in main memory",
        group=_GPU,
        help="For a mixture of experts that is too large for the card: its experts, which are most of the weights, "
        "stay in main memory, and all else is on the card.",
    )
    n_cpu_moe: int = setting(
        0,
        label="Layers with experts in main memory",
        minimum=0,
        maximum=1024,
        unit="layers",
        group=_GPU,
        advanced=True,
        help="The same for the first so many layers only, if there is room for the experts of the others.",
    )
    override_tensor: str = setting(
        "",
        label="Tensor overrides",
        group=_GPU,
        advanced=True,
        help="Where tensors are, by name: a regular expression, = and a device, such as \\.ffn_.*_exps=CPU. Separate "
        "several with commas. They come before the two settings above.",
    )
    offload_kv: bool = setting(
        True,
        label="Cache on the GPU",
        group=_GPU,
        advanced=True,
        help="Off puts the cache in main memory: slower, but more layers fit on the card.",
    )
    mmap: bool = setting(
        True,
        label="Map the file (mmap)",
        group=_MEMORY,
        help="Maps the file, so loading is immediate and the system shares its pages. Off reads it into memory first.",
    )
    mlock: bool = setting(
        False,
        label="Lock in memory (mlock)",
        group=_MEMORY,
        advanced=True,
        help="Prevents the system from swapping out the model. Needs permission to lock that much memory.",
    )
    rope_scaling: str = setting(
        "model",
        label="RoPE scaling",
        choices=("model", "none", "linear", "yarn"),
        group=_ROPE,
        advanced=True,
        help="Extends the model to a longer context; yarn loses the least. model uses what its file says.",
    )
    rope_freq_base: float = setting(
        0.0,
        label="RoPE base",
        minimum=0,
        maximum=1e9,
        group=_ROPE,
        advanced=True,
        help="Frequency base of the position encoding; higher reaches further. 0 uses the model's own.",
    )
    rope_freq_scale: float = setting(
        0.0,
        label="RoPE scale",
        minimum=0,
        maximum=10,
        group=_ROPE,
        advanced=True,
        help="Frequency scale: 0.5 doubles the context with linear scaling. 0 uses the model's own.",
    )
    yarn_original_context: int = setting(
        0,
        label="YaRN, original context",
        minimum=0,
        maximum=4_194_304,
        unit="tokens",
        group=_ROPE,
        advanced=True,
        help="The trained context length, if the model's file does not contain it. 0 uses the file's.",
    )


def hardware_reason(machine: Machine) -> str:
    """Return where the loader runs on this machine, as the end of a claim's reason."""
    if machine.has("metal"):
        return "It uses this Mac's graphics (Metal)."
    if machine.gpus:
        return f"It runs on the graphics card ({', '.join(dict.fromkeys(gpu.name for gpu in machine.gpus))})."
    return f"It runs on this machine's {machine.cpus} processor cores; no graphics card is needed."


def is_gguf(facts: ModelFacts) -> bool:
    """Return True if llama.cpp can read this model."""
    return facts.format == "gguf"


def device_names(settings: LlamaCppSettings) -> list[str]:
    """Return the names in the setting Devices."""
    return [name.strip() for name in settings.devices.split(",") if name.strip()]
