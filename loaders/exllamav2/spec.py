"""What the exllamav2 loader declares: EXL2 and GPTQ on CUDA, with a dynamic batch."""

from __future__ import annotations

from dataclasses import dataclass

from loaders.exllamav2.quantization import EXL2
from modules.families.exllama import CONTEXT, SPEED, ExllamaSettings, memory_demand
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts, unsupported_bits_reason
from modules.protocol.sampling import ALL_SAMPLERS
from modules.protocol.schema import DRAFTS, setting

_ROPE = "RoPE"
# The generator checks at most eight tokens in one step.
MOST_DRAFT_TOKENS = 8


@dataclass(frozen=True)
class Settings(ExllamaSettings):
    """How ExLlamaV2 loads and runs a model."""

    cache_type: str = setting(
        "fp16",
        label="Cache type",
        choices=("fp16", "q8", "q6", "q4"),
        group=CONTEXT,
        help="Precision of cached keys and values. q8 takes half the memory with almost no loss, q4 a quarter with a "
        "small loss.",
    )
    draft_tokens: int = setting(
        0,
        label="Draft tokens",
        minimum=0,
        maximum=MOST_DRAFT_TOKENS,
        unit="tokens",
        group=DRAFTS,
        advanced=True,
        help="Guessed at a time. 0 is automatic: 4.",
    )
    flash_attention: bool = setting(
        True, label="Flash attention", group=SPEED, advanced=True, help="Off: not used even if it is installed."
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
    """Return the memory that a load takes, all on cards."""
    bits = {"fp16": 16, "q8": 8.5, "q6": 6.5, "q4": 4.5}[settings.cache_type]
    return memory_demand(facts, settings, (bits, bits))


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
    logprobs=True,
    accelerators=("cuda",),
    adapters=("peft",),
    adapters_note="Adapters change once all running replies have ended.",
    quantizers=(EXL2,),
    requirements="requirements.txt",
    # Does not import the engine, whose first import compiles CUDA kernels for minutes. The first load shows that.
    probe="import importlib.metadata as found, tokenizers, torch, transformers; "
    "assert torch.cuda.is_available(), 'torch sees no CUDA device'; print(found.version('exllamav2'))",
)
