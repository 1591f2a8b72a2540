"""What the exllamav2 loader declares: EXL2 and GPTQ on CUDA, with a dynamic batch."""

from __future__ import annotations

from dataclasses import dataclass

from loaders.exllamav2.quantization import EXL2
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand, parse_split
from modules.protocol.model_facts import Claim, Machine, ModelFacts, unsupported_bits_reason
from modules.protocol.sampling import ALL_SAMPLERS
from modules.protocol.schema import setting

_CONTEXT = "Context and cache"
_GPU = "Graphics cards"
_SPEED = "Speed"
_ROPE = "RoPE"


@dataclass(frozen=True)
class Settings:
    """How ExLlamaV2 loads and runs a model."""

    context: int = setting(
        8192,
        label="Context length",
        minimum=256,
        maximum=4_194_304,
        unit="tokens",
        group=_CONTEXT,
        help="How much text the model sees at once, rounded up to 256. The cache for it is allocated at the load. The "
        "default never exceeds the trained context.",
    )
    cache_type: str = setting(
        "fp16",
        label="Cache type",
        choices=("fp16", "q8", "q6", "q4"),
        group=_CONTEXT,
        help="Precision of cached keys and values. q8 takes half the memory with almost no loss, q4 a quarter with a "
        "small loss.",
    )
    cache_tokens: int = setting(
        0,
        label="Cache size",
        minimum=0,
        maximum=16_777_216,
        unit="tokens",
        group=_CONTEXT,
        advanced=True,
        help="Shared by all replies that run at once. Replies that find no room wait. 0: one context.",
    )
    slots: int = setting(
        2,
        label="Replies at once",
        minimum=1,
        maximum=64,
        group=_CONTEXT,
        help="Requests computed as one batch. Without flash-attn 2.5.7 or later in the environment, one at a time.",
    )
    gpu_split: str = setting(
        "",
        label="GPU split",
        unit="GB",
        group=_GPU,
        help="Memory for weights on each card, separated by commas, such as 20, 22. Empty: fills one card after "
        "another (autosplit).",
    )
    reserve: float = setting(
        0.0,
        label="Keep free",
        minimum=0,
        maximum=1000,
        unit="GB",
        group=_GPU,
        advanced=True,
        help="With autosplit: memory to keep free on each card. 0: ExLlamaV2's default, about 0.2.",
    )
    tensor_parallel: bool = setting(
        False,
        label="Tensor parallel",
        group=_GPU,
        help="Splits every layer over all cards, which then compute at the same time. Not for all architectures.",
    )
    batch: int = setting(
        2048,
        label="Batch",
        minimum=256,
        maximum=16_384,
        unit="tokens",
        group=_SPEED,
        advanced=True,
        help="Prompt tokens read in one step, rounded up to 256. More is faster and takes more memory.",
    )
    draft_model: str = setting(
        "",
        label="Draft model",
        group=_SPEED,
        advanced=True,
        help="Folder of a small model with the same tokenizer, beside this one or as a full path. It drafts tokens "
        "that the large model checks. Faster for one reply, but takes more memory.",
    )
    draft_tokens: int = setting(
        4,
        label="Draft tokens",
        minimum=1,
        maximum=8,
        unit="tokens",
        group=_SPEED,
        advanced=True,
        help="Drafted per step.",
    )
    ngram_draft: bool = setting(
        False,
        label="Draft from the text",
        group=_SPEED,
        advanced=True,
        help="Drafts tokens from the text so far, without a draft model. Good for code and quotations.",
    )
    flash_attention: bool = setting(
        True, label="Flash attention", group=_SPEED, advanced=True, help="Off: not used even if it is installed."
    )
    rope_scale: float = setting(
        1.0,
        label="RoPE scale",
        minimum=1,
        maximum=64,
        step=0.1,
        group=_ROPE,
        advanced=True,
        help="Linear scaling: 2 doubles the context of a model that was trained for it.",
    )
    rope_alpha: float = setting(
        1.0,
        label="RoPE alpha",
        minimum=1,
        maximum=1000,
        step=0.05,
        group=_ROPE,
        advanced=True,
        help="NTK scaling: extends the context of any model, with some loss. About 2.6 doubles it.",
    )
    rope_yarn: float = setting(
        0.0,
        label="YaRN factor",
        minimum=0,
        maximum=64,
        step=0.1,
        group=_ROPE,
        advanced=True,
        help="Extends the context by this factor with little loss, for models trained for YaRN. 0: the model's own.",
    )


SAMPLERS = ALL_SAMPLERS - {
    "adaptive_decay",
    "adaptive_target",
    "encoder_repetition_penalty",
    "epsilon_cutoff",
    "eta_cutoff",
    "grammar_string",
    "json_schema",
    "no_repeat_ngram_size",
    "sampler_priority",
    "smoothing_curve",
    "top_n_sigma",
}


# From its source (exllamav2/generator/sampler.py, exllamav2_ext/cpp/sampling.cpp, version 0.3.2).
_ORDER = "Applied in the engine's order: top-k, top-p, top-a, min-p, tail-free, typical-p, mirostat, XTC."
_ONE_BACK = "If all remaining tokens pass, one that was removed before is added back."
DIFFERS = {
    "dry_multiplier": "Only the longest repeat is penalized, up to 20 tokens, once for each time that the token "
    "followed it.",
    "dynamic_temperature": "Applied after the cut-offs, to the tokens that they left.",
    "min_p": f"{_ORDER} {_ONE_BACK}",
    "mirostat_mode": "Mirostat 2 only. 1 is refused.",
    "smoothing_factor": "The temperature divides the parabola and not its argument: top - k x^2 / T.",
    "temperature": "Below 0.01 the likeliest token is chosen.",
    "tfs": _ORDER,
    "top_a": f"{_ORDER} {_ONE_BACK}",
    "top_p": "The token that would reach this value is left out, and less likely ones that still fit are kept.",
    "typical_p": f"Surprise is computed as p + log p, and the token that would reach the mass is left out. {_ORDER}",
    "xtc_probability": "Mixes the two distributions by the probability in place of drawing one of them, with the same "
    "chances. No token is protected. After typical-p it removes tokens other than the likeliest.",
}


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if not machine.has("cuda"):
        return None
    if facts.format == "exl2":
        return Claim(95, "EXL2, which only ExLlamaV2 reads. It is one of the fastest formats on this graphics card.")
    if facts.format == "gptq" and facts.bits in (0, 4):
        order = " with act-order" if facts.act_order else ""
        return Claim(
            85,
            f"GPTQ{order} in 4 bits: ExLlamaV2 has fast kernels for it and batches replies.",
            speed=5,
            memory=10,
        )
    if facts.format == "gptq":
        return Claim(0, unsupported_bits_reason("ExLlamaV2", facts, (4,)), runs=False)
    return None


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    """Return the memory that a load takes, all on cards.

    A cache in q8, q6 or q4 has a 16-bit scale for each 32 elements.
    """
    bits = {"fp16": 16, "q8": 8.5, "q6": 6.5, "q4": 4.5}[settings.cache_type]
    context = settings.context
    if context == type(settings).context and facts.context:
        context = min(context, facts.context)
    return Demand(
        process=1200 * MEBIBYTE,
        context=context,
        cache_tokens=settings.cache_tokens,
        cache_bits=(bits, bits),
        batch=settings.batch,
        activation=2,
        gpu_layers=-1,
        gpu_split=parse_split(settings.gpu_split),
        gpu_process=500 * MEBIBYTE,
    )


SPEC = LoaderSpec(
    name="exllamav2",
    title="ExLlamaV2",
    summary="EXL2 and 4-bit GPTQ on NVIDIA cards: fast, with a quantized cache and several replies at once.",
    formats=("gptq", "exl2"),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    differs=DIFFERS,
    accelerators=("cuda",),
    adapters=("peft",),
    adapters_note="Adapters change once all running replies have ended.",
    quantizers=(EXL2,),
    requirements="requirements.txt",
    # Does not import the engine, whose first import compiles CUDA kernels for minutes. The first load shows that.
    probe="import importlib.metadata as found, tokenizers, torch, transformers; "
    "assert torch.cuda.is_available(), 'torch sees no CUDA device'; print(found.version('exllamav2'))",
)
