"""SamplingParams: every sampling parameter, with neutral defaults. Serves presets, page, CLI, API and workers alike.

Names are those of text-generation-webui's presets, so such a preset file drops in unchanged. Neutral means: plain
sampling from the model's own distribution. Which of them a loader honours is in its spec's `samplers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isnan
from typing import Any

from modules.protocol.errors import PromptError, SettingError
from modules.protocol.schema import changed_values, setting

# The order in which the samplers act when `sampler_priority` is empty; names as in text-generation-webui.
# Adaptive-p and mirostat choose the token themselves, so they are the last in every order.
DEFAULT_PRIORITY = (
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "dry",
    "encoder_repetition_penalty",
    "no_repeat_ngram",
    "top_n_sigma",
    "temperature",
    "dynamic_temperature",
    "quadratic_sampling",
    "top_k",
    "top_p",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "tfs",
    "top_a",
    "min_p",
    "xtc",
    "adaptive_p",
    "mirostat",
)

_CUT = "Cut-off"
_TEMPERATURE = "Temperature"
_REPEAT = "Repetition"
_OTHER = "Other"
_LENGTH = "Length and stopping"


@dataclass(frozen=True)
class SamplingParams:
    """How the next token is chosen and when to stop. Defaults are neutral; see each field's help."""

    max_new_tokens: int = setting(
        512,
        label="Longest reply",
        minimum=1,
        maximum=1_000_000,
        unit="tokens",
        group=_LENGTH,
        help="Generation stops here at the latest. Room for it is kept free in the context.",
    )
    temperature: float = setting(
        1.0,
        label="Temperature",
        minimum=0,
        maximum=5,
        step=0.01,
        group=_TEMPERATURE,
        help="Below 1 sharpens the choice, above 1 flattens it. 0 always takes the likeliest token.",
    )
    dynamic_temperature: bool = setting(
        False,
        label="Dynamic temperature",
        group=_TEMPERATURE,
        help="Takes the temperature from between low and high by how unsure the model is (its entropy).",
    )
    dynatemp_low: float = setting(
        1.0, label="Dynamic temperature, low", minimum=0.01, maximum=5, step=0.01, group=_TEMPERATURE
    )
    dynatemp_high: float = setting(
        1.0, label="Dynamic temperature, high", minimum=0.01, maximum=5, step=0.01, group=_TEMPERATURE
    )
    dynatemp_exponent: float = setting(
        1.0,
        label="Dynamic temperature, exponent",
        minimum=0.01,
        maximum=5,
        step=0.01,
        group=_TEMPERATURE,
        help="How the entropy maps to the temperature; 1 is a straight line.",
    )
    smoothing_factor: float = setting(
        0.0,
        label="Smoothing factor",
        minimum=0,
        maximum=10,
        step=0.01,
        group=_TEMPERATURE,
        help="Quadratic sampling: lowers the unlikely, evens out the likely. 0 is off.",
    )
    smoothing_curve: float = setting(1.0, label="Smoothing curve", minimum=1, maximum=10, step=0.1, group=_TEMPERATURE)
    top_p: float = setting(
        1.0,
        label="Top-p",
        minimum=0,
        maximum=1,
        step=0.01,
        group=_CUT,
        help="Keeps the smallest set of tokens whose probabilities add up to this. 1 is off.",
    )
    min_p: float = setting(
        0.0,
        label="Min-p",
        minimum=0,
        maximum=1,
        step=0.01,
        group=_CUT,
        help="Drops tokens less likely than this share of the likeliest one. 0 is off.",
    )
    top_k: int = setting(
        0,
        label="Top-k",
        minimum=0,
        maximum=1000,
        unit="tokens",
        group=_CUT,
        help="Keeps only this many tokens. 0 is off.",
    )
    typical_p: float = setting(
        1.0,
        label="Typical-p",
        minimum=0,
        maximum=1,
        step=0.01,
        group=_CUT,
        help="Keeps tokens whose surprise is near the expected one. 1 is off.",
    )
    top_n_sigma: float = setting(
        0.0,
        label="Top-n-sigma",
        minimum=0,
        maximum=10,
        step=0.01,
        group=_CUT,
        help="Keeps tokens whose logit is within this many standard deviations of the highest. 0 is off.",
    )
    tfs: float = setting(
        1.0,
        label="Tail-free sampling",
        minimum=0,
        maximum=1,
        step=0.01,
        group=_CUT,
        help="Cuts where the probability curve's second derivative flattens out. 1 is off.",
    )
    top_a: float = setting(
        0.0,
        label="Top-a",
        minimum=0,
        maximum=1,
        step=0.01,
        group=_CUT,
        help="Drops tokens below this times the square of the highest probability. 0 is off.",
    )
    epsilon_cutoff: float = setting(
        0.0,
        label="Epsilon cut-off",
        minimum=0,
        maximum=9,
        step=0.01,
        unit="1e-4",
        group=_CUT,
        help="Drops tokens below this probability. 0 is off.",
    )
    eta_cutoff: float = setting(
        0.0,
        label="Eta cut-off",
        minimum=0,
        maximum=20,
        step=0.01,
        unit="1e-4",
        group=_CUT,
        help="Like epsilon, but it moves with the entropy. 0 is off.",
    )
    xtc_threshold: float = setting(
        0.1,
        label="XTC threshold",
        minimum=0,
        maximum=0.5,
        step=0.01,
        group=_CUT,
        help="With XTC, all but the least likely of the tokens above this are dropped.",
    )
    xtc_probability: float = setting(
        0.0,
        label="XTC probability",
        minimum=0,
        maximum=1,
        step=0.01,
        group=_CUT,
        help="How often XTC acts: more surprising word choices. 0 is off.",
    )
    adaptive_target: float = setting(
        0.0,
        label="Adaptive-p target",
        minimum=0,
        maximum=1,
        step=0.01,
        group=_OTHER,
        help="Prefers tokens near this probability, over time. 0 is off.",
    )
    adaptive_decay: float = setting(
        0.9,
        label="Adaptive-p decay",
        minimum=0,
        maximum=0.99,
        step=0.01,
        group=_OTHER,
        help="How slowly adaptive-p forgets the tokens already chosen.",
    )
    dry_multiplier: float = setting(
        0.0,
        label="DRY multiplier",
        minimum=0,
        maximum=5,
        step=0.01,
        group=_REPEAT,
        help="Punishes tokens that would continue a sequence seen before. 0 is off; 0.8 is a good start.",
    )
    dry_allowed_length: int = setting(
        2,
        label="DRY allowed length",
        minimum=1,
        maximum=100,
        unit="tokens",
        group=_REPEAT,
        help="Repeats up to this long are not punished.",
    )
    dry_base: float = setting(1.75, label="DRY base", minimum=1, maximum=4, step=0.01, group=_REPEAT)
    dry_sequence_breakers: list[str] = setting(
        ["\n", ":", '"', "*"],
        label="DRY sequence breakers",
        group=_REPEAT,
        help="Texts across which DRY matches nothing. One a line; \\n means a line break.",
    )
    repetition_penalty: float = setting(
        1.0,
        label="Repetition penalty",
        minimum=0.01,
        maximum=2,
        step=0.01,
        group=_REPEAT,
        help="Divides the logits of tokens that occurred already: below 1, they come more often. 1 is off.",
    )
    repetition_penalty_range: int = setting(
        0,
        label="Repetition range",
        minimum=0,
        maximum=1_000_000,
        unit="tokens",
        group=_REPEAT,
        help="How far back the penalties look. 0 means the whole context.",
    )
    frequency_penalty: float = setting(
        0.0,
        label="Frequency penalty",
        minimum=-2,
        maximum=2,
        step=0.05,
        group=_REPEAT,
        help="Subtracted once for each time that a token occurred.",
    )
    presence_penalty: float = setting(
        0.0,
        label="Presence penalty",
        minimum=-2,
        maximum=2,
        step=0.05,
        group=_REPEAT,
        help="Subtracted once from each token that occurred.",
    )
    encoder_repetition_penalty: float = setting(
        1.0,
        label="Encoder repetition penalty",
        minimum=0.8,
        maximum=1.5,
        step=0.01,
        group=_REPEAT,
        help="Above 1 favours tokens of the prompt (fewer inventions), below 1 avoids them. 1 is off.",
    )
    no_repeat_ngram_size: int = setting(
        0,
        label="No repeat n-gram",
        minimum=0,
        maximum=100,
        unit="tokens",
        group=_REPEAT,
        help="No sequence of this length occurs twice. 0 is off.",
    )
    mirostat_mode: int = setting(
        0,
        label="Mirostat",
        choices=(0, 1, 2),
        group=_OTHER,
        help="Holds the text's surprise at tau by itself; replaces the other cut-offs. 0 is off.",
    )
    mirostat_tau: float = setting(5.0, label="Mirostat tau", minimum=0, maximum=10, step=0.01, group=_OTHER)
    mirostat_eta: float = setting(0.1, label="Mirostat eta", minimum=0, maximum=1, step=0.01, group=_OTHER)
    guidance_scale: float = setting(
        1.0,
        label="Guidance scale",
        minimum=0,
        maximum=10,
        step=0.05,
        group=_OTHER,
        help="Classifier-free guidance: above 1 pushes away from the negative prompt, at half the speed. 1 is off.",
    )
    negative_prompt: str = setting("", label="Negative prompt", group=_OTHER)
    penalty_alpha: float = setting(
        0.0,
        label="Contrastive search (alpha)",
        minimum=0,
        maximum=1,
        step=0.01,
        group=_OTHER,
        help="With top-k of 2 or more: balances likelihood and novelty, without chance. 0 is off.",
    )
    do_sample: bool = setting(
        True,
        label="Sample",
        group=_TEMPERATURE,
        help="Off: always the likeliest token (greedy), whatever the rest says.",
    )
    temperature_last: bool = setting(
        False, label="Temperature last", group=_TEMPERATURE, help="Applies the temperature after the cut-offs."
    )
    sampler_priority: list[str] = setting(
        [],
        label="Sampler order",
        group=_OTHER,
        advanced=True,
        help="Names of samplers, first to last, one a line. Empty means the usual order.",
    )
    seed: int = setting(
        -1,
        label="Seed",
        minimum=-1,
        maximum=2**31 - 1,
        group=_OTHER,
        help="Same seed, loader and settings: same text. -1 draws a new one each time.",
    )
    stop: list[str] = setting(
        [],
        label="Stop texts",
        group=_LENGTH,
        help="Generation ends before any of these. One a line; \\n means a line break.",
    )
    custom_token_bans: str = setting(
        "",
        label="Banned tokens",
        group=_LENGTH,
        advanced=True,
        help="Token ids, separated by commas, that are never chosen.",
    )
    logit_bias: str = setting(
        "",
        label="Logit bias",
        group=_OTHER,
        advanced=True,
        help="id:bias pairs, separated by commas, added to the logits: 13:-2.5, 29:1.",
    )
    ban_eos_token: bool = setting(
        False,
        label="Never end by itself",
        group=_LENGTH,
        help="Bans the end-of-text token: it goes on to the longest reply.",
    )
    add_bos_token: bool = setting(
        True,
        label="Begin with BOS",
        group=_LENGTH,
        advanced=True,
        help="Puts the beginning-of-text token first, where the model has one.",
    )
    skip_special_tokens: bool = setting(
        True, label="Hide special tokens", group=_LENGTH, advanced=True, help="Special tokens are left out of the text."
    )
    grammar_string: str = setting(
        "", label="Grammar", group=_OTHER, advanced=True, help="A GBNF grammar that the text must follow."
    )
    truncate: bool = setting(
        True,
        label="Cut a prompt that is too long",
        group=_LENGTH,
        help="On: the oldest text is left out, and the reply says how much. Off: such a prompt is refused.",
    )


# What every loader honours without saying so: these are not samplers.
ALWAYS_HONOURED = frozenset({"max_new_tokens", "stop", "seed", "skip_special_tokens", "truncate", "add_bos_token"})


def parse_banned_tokens(params: SamplingParams) -> list[int]:
    """The ids that `custom_token_bans` names: '13, 29' -> [13, 29]. Raises PromptError."""
    try:
        banned = [int(part) for part in _parts(params.custom_token_bans)]
        if min(banned, default=0) < 0:
            raise ValueError
        return banned
    except ValueError:
        raise PromptError(
            f"Banned tokens cannot be {params.custom_token_bans!r}. "
            "Write token ids, separated by commas, such as 13, 29."
        ) from None


def parse_logit_biases(params: SamplingParams) -> dict[int, float]:
    """What `logit_bias` adds, by token id: '13:-2.5, 29:1' -> {13: -2.5, 29: 1.0}. Raises PromptError."""
    try:
        pairs = (part.split(":") for part in _parts(params.logit_bias))
        biases = {int(token): float(bias) for token, bias in pairs}
        # Minus infinity bans a token; the other values that are no numbers make all probabilities such.
        if any(isnan(bias) or bias == inf for bias in biases.values()) or min(biases, default=0) < 0:
            raise ValueError
        return biases
    except ValueError:
        raise PromptError(
            f"Logit bias cannot be {params.logit_bias!r}. "
            "Write id:bias pairs, separated by commas, such as 13:-2.5, 29:1."
        ) from None


def _parts(text: str) -> list[str]:
    return [part for part in text.replace("\n", ",").split(",") if part.strip()]


def parse_sampler_order(params: SamplingParams) -> list[str]:
    """The samplers that `sampler_priority` names, one an item or a line, first to last. Raises SettingError for a name
    that does not exist."""
    names = [name.strip() for item in params.sampler_priority for name in item.splitlines() if name.strip()]
    for name in names:
        if name not in DEFAULT_PRIORITY:
            raise SettingError(f"There is no sampler named {name!r}. The samplers are: {', '.join(DEFAULT_PRIORITY)}.")
    return list(dict.fromkeys(names))


# Parameters that are texts with a form of their own -> what reads them, and raises a sentence where it cannot.
TEXT_PARSERS: dict[str, Callable[[SamplingParams], Any]] = {
    "sampler_priority": parse_sampler_order,
    "custom_token_bans": parse_banned_tokens,
    "logit_bias": parse_logit_biases,
}


def active_samplers(params: SamplingParams) -> frozenset[str]:
    """Names of the parameters that are not neutral: those a loader must honour or be named for ignoring."""
    names = set(changed_values(params)) - ALWAYS_HONOURED
    if "xtc_probability" not in names:
        names.discard("xtc_threshold")
    for lead, led in {
        "dry_multiplier": ("dry_allowed_length", "dry_base", "dry_sequence_breakers"),
        "mirostat_mode": ("mirostat_tau", "mirostat_eta"),
        "dynamic_temperature": ("dynatemp_low", "dynatemp_high", "dynatemp_exponent"),
        "adaptive_target": ("adaptive_decay",),
        "smoothing_factor": ("smoothing_curve",),
        "guidance_scale": ("negative_prompt",),
    }.items():
        if lead not in names:
            names.difference_update(led)
    return frozenset(names)
