"""What every loader built on llama.cpp declares: its settings, its samplers, and the words of its claim.

Here, and not in one of the loaders, because a spec imports nothing but this room.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.memory_demand import MEBIBYTE, Demand, parse_split
from modules.protocol.model_facts import Machine, ModelFacts
from modules.protocol.sampling import ALL_SAMPLERS
from modules.protocol.schema import setting

# Taken where Context length is 0 and the model was made for more: enough for a long chat, and little memory.
AUTOMATIC_CONTEXT = 8192

# From most to least memory, so that "one lower" is the next; the names are llama.cpp's own.
CACHE_TYPES = ("f32", "bf16", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")

# Bits of one element of the cache: blocks of 32 with a scale of 16 bits, in Q4_1 and Q5_1 an offset of 16 more (ggml).
_CACHE_BITS = {"f32": 32, "bf16": 16, "f16": 16, "q8_0": 8.5, "q5_1": 6, "q5_0": 5.5, "q4_1": 5, "q4_0": 4.5}

# What a shortage of memory is cured with, first the one that costs least.
LOWER_FOR_MEMORY = ("context", "cache_type_k", "cache_type_v", "batch", "micro_batch")

SAMPLERS = ALL_SAMPLERS - {
    "encoder_repetition_penalty",
    "epsilon_cutoff",
    "eta_cutoff",
    "guidance_scale",
    "negative_prompt",
    "no_repeat_ngram_size",
    "penalty_alpha",
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
    """How llama.cpp loads and runs a model; the defaults are its own, but for those that would fill the memory."""

    context: int = setting(
        0,
        label="Context length",
        minimum=0,
        maximum=4_194_304,
        unit="tokens",
        group=_CONTEXT,
        help="How much text the model sees at once. Memory grows with it. 0 takes the model's own length, at most "
        f"{AUTOMATIC_CONTEXT}. Beyond the length it was made for, quality falls unless RoPE is scaled.",
    )
    cache_type_k: str = setting(
        "f16",
        label="Cache type, K",
        choices=CACHE_TYPES,
        group=_CONTEXT,
        help="Precision of the remembered keys. q8_0 halves the context's memory at nearly no loss; q4_0 quarters it "
        "and can be noticed.",
    )
    cache_type_v: str = setting(
        "f16",
        label="Cache type, V",
        choices=CACHE_TYPES,
        group=_CONTEXT,
        help="Precision of the remembered values. A quantized one (q8_0 and below) needs flash attention.",
    )
    flash_attention: str = setting(
        "auto",
        label="Flash attention",
        choices=("auto", "on", "off"),
        group=_CONTEXT,
        help="Less memory and mostly more speed for long contexts. auto uses it where the device can.",
    )
    threads: int = setting(
        0,
        label="Threads",
        minimum=0,
        maximum=512,
        group=_CPU,
        help="For generating. Best is the number of real cores. 0 takes that, or one for a tiny model.",
    )
    threads_batch: int = setting(
        0,
        label="Threads, reading",
        minimum=0,
        maximum=512,
        group=_CPU,
        help="For reading the prompt, which can use every core. 0 chooses by itself.",
    )
    batch: int = setting(
        512,
        label="Batch",
        minimum=16,
        maximum=16_384,
        unit="tokens",
        group=_CPU,
        advanced=True,
        help="Tokens of the prompt that are read in one go; Stop is heard between two of them.",
    )
    micro_batch: int = setting(
        512,
        label="Micro-batch",
        minimum=16,
        maximum=16_384,
        unit="tokens",
        group=_CPU,
        advanced=True,
        help="Tokens computed together. More reads the prompt faster on a graphics card and takes more memory.",
    )
    numa: str = setting(
        "off",
        label="NUMA",
        choices=("off", "distribute", "isolate", "numactl"),
        group=_CPU,
        advanced=True,
        help="For machines with several processor sockets: how threads are spread over them.",
    )
    gpu_layers: int = setting(
        -1,
        label="GPU layers",
        minimum=-1,
        maximum=1024,
        unit="layers",
        group=_GPU,
        help="Layers of the model kept on the graphics card: each makes it faster and takes graphics memory. -1 takes "
        "all. Without a graphics card it changes nothing.",
    )
    split_mode: str = setting(
        "layer",
        label="Split mode",
        choices=("layer", "row", "none"),
        group=_GPU,
        advanced=True,
        help="How a model is spread over several graphics cards: by layers, by rows of each layer, or not at all.",
    )
    main_gpu: int = setting(
        0,
        label="Main GPU",
        minimum=0,
        maximum=15,
        group=_GPU,
        advanced=True,
        help="The card that takes everything with split mode none, and the intermediate results with row.",
    )
    tensor_split: str = setting(
        "",
        label="Tensor split",
        group=_GPU,
        advanced=True,
        help="The share of each graphics card, such as 3,1 for three quarters on the first. Empty goes by free memory.",
    )
    offload_kv: bool = setting(
        True,
        label="Cache on the GPU",
        group=_GPU,
        advanced=True,
        help="Off keeps the context's cache in main memory: slower, but more layers fit on the card.",
    )
    mmap: bool = setting(
        True,
        label="Map the file (mmap)",
        group=_MEMORY,
        help="Loads at once and shares the file's pages with the system. Off reads it all into memory first.",
    )
    mlock: bool = setting(
        False,
        label="Lock in memory (mlock)",
        group=_MEMORY,
        advanced=True,
        help="Forbids the system to move the model out of memory. Needs the right to lock that much.",
    )
    rope_scaling: str = setting(
        "model",
        label="RoPE scaling",
        choices=("model", "none", "linear", "yarn"),
        group=_ROPE,
        advanced=True,
        help="Stretches the model to a longer context; yarn loses least. model takes what its file says.",
    )
    rope_freq_base: float = setting(
        0.0,
        label="RoPE base",
        minimum=0,
        maximum=1e9,
        group=_ROPE,
        advanced=True,
        help="Frequency base of the position encoding; higher reaches further. 0 takes the model's own.",
    )
    rope_freq_scale: float = setting(
        0.0,
        label="RoPE scale",
        minimum=0,
        maximum=10,
        group=_ROPE,
        advanced=True,
        help="Frequency scale: 0.5 doubles the context with linear scaling. 0 takes the model's own.",
    )
    yarn_original_context: int = setting(
        0,
        label="YaRN, original context",
        minimum=0,
        maximum=4_194_304,
        unit="tokens",
        group=_ROPE,
        advanced=True,
        help="The context that the model was made for, where its file does not say. 0 takes the model's own.",
    )


def hardware_reason(machine: Machine, cuda: str) -> str:
    """Where it would run here, as the end of a claim's reason. `cuda`: what an NVIDIA or AMD card takes."""
    if machine.has("metal"):
        return "It uses this Mac's graphics (Metal)."
    if machine.has("cuda") or machine.has("rocm"):
        return f"It runs on the {machine.cpus} processor cores; {cuda}"
    return f"It runs on this machine's {machine.cpus} processor cores; no graphics card is needed."


def is_gguf(facts: ModelFacts) -> bool:
    """Whether llama.cpp reads this model."""
    return facts.format == "gguf"


def memory_demand(facts: ModelFacts, settings: LlamaCppSettings, process: int) -> Demand:
    """What llama.cpp asks of memory. `process`: bytes of the loader's worker without a model.

    The file is mapped, or read, as it is; the cache is cleared, and so taken, at once. A card takes the room for the
    logits of a whole micro-batch, main memory only what is written. Attention's mask is kept in 32 bits, and in 16 for
    flash attention.
    """
    context = settings.context or min(facts.context or AUTOMATIC_CONTEXT, AUTOMATIC_CONTEXT)
    batch = min(settings.batch, settings.micro_batch)
    return Demand(
        process=process,
        context=context,
        cache_bits=(_CACHE_BITS[settings.cache_type_k], _CACHE_BITS[settings.cache_type_v]),
        batch=batch,
        mask=6,
        gpu_layers=settings.gpu_layers,
        cache_on_gpu=settings.offload_kv,
        gpu_split=parse_split(settings.tensor_split),
        gpu_process=300 * MEBIBYTE,
        gpu_logits=batch,
    )
