"""SamplingParams: every sampling parameter, with neutral defaults, for presets, page, command line, API and workers.

Names are those of text-generation-webui's presets, so its preset files work unchanged. Neutral means: plain sampling
from the model's own distribution. The `samplers` of a loader's spec name those that it honours.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.schema import changed_values, describe, setting
from modules.protocol.token_choice import LENGTH, OTHER, REPEAT, TEMPERATURE, TokenChoice


@dataclass(frozen=True)
class SamplingParams(TokenChoice):
    """How the next token is chosen and when to stop. Defaults are neutral; see each field's help."""

    dry_multiplier: float = setting(
        0.0,
        label="DRY multiplier",
        minimum=0,
        maximum=5,
        step=0.01,
        group=REPEAT,
        help="Punishes tokens that would continue a sequence seen before. 0 is off; 0.8 is a good start.",
    )
    dry_allowed_length: int = setting(
        2,
        label="DRY allowed length",
        minimum=1,
        maximum=100,
        unit="tokens",
        group=REPEAT,
        help="Repeats up to this long are not punished.",
    )
    dry_base: float = setting(1.75, label="DRY base", minimum=1, maximum=4, step=0.01, group=REPEAT)
    dry_sequence_breakers: list[str] = setting(
        ["\n", ":", '"', "*"],
        label="DRY sequence breakers",
        group=REPEAT,
        help="Texts across which DRY matches nothing. One a line; \\n means a line break.",
    )
    repetition_penalty: float = setting(
        1.0,
        label="Repetition penalty",
        minimum=0.01,
        maximum=2,
        step=0.01,
        group=REPEAT,
        help="Divides the logits of tokens that occurred already: below 1, they come more often. 1 is off.",
    )
    repetition_penalty_range: int = setting(
        0,
        label="Repetition range",
        minimum=0,
        maximum=1_000_000,
        unit="tokens",
        group=REPEAT,
        help="How far back the penalties look. 0 means the whole context.",
    )
    frequency_penalty: float = setting(
        0.0,
        label="Frequency penalty",
        minimum=-2,
        maximum=2,
        step=0.05,
        group=REPEAT,
        help="Subtracted once for each time that a token occurred.",
    )
    presence_penalty: float = setting(
        0.0,
        label="Presence penalty",
        minimum=-2,
        maximum=2,
        step=0.05,
        group=REPEAT,
        help="Subtracted once from each token that occurred.",
    )
    encoder_repetition_penalty: float = setting(
        1.0,
        label="Encoder repetition penalty",
        minimum=0.8,
        maximum=1.5,
        step=0.01,
        group=REPEAT,
        help="Above 1 favours tokens of the prompt (fewer inventions), below 1 avoids them. 1 is off.",
    )
    no_repeat_ngram_size: int = setting(
        0,
        label="No repeat n-gram",
        minimum=0,
        maximum=100,
        unit="tokens",
        group=REPEAT,
        help="No sequence of this length occurs twice. 0 is off.",
    )
    mirostat_mode: int = setting(
        0,
        label="Mirostat",
        choices=(0, 1, 2),
        group=OTHER,
        help="Holds the text's surprise at tau by itself; replaces the other cut-offs. 0 is off.",
    )
    mirostat_tau: float = setting(5.0, label="Mirostat tau", minimum=0, maximum=10, step=0.01, group=OTHER)
    mirostat_eta: float = setting(0.1, label="Mirostat eta", minimum=0, maximum=1, step=0.01, group=OTHER)
    guidance_scale: float = setting(
        1.0,
        label="Guidance scale",
        minimum=0,
        maximum=10,
        step=0.05,
        group=OTHER,
        help="Classifier-free guidance: above 1 pushes away from the negative prompt, at half the speed. 1 is off.",
    )
    negative_prompt: str = setting("", label="Negative prompt", group=OTHER)
    penalty_alpha: float = setting(
        0.0,
        label="Contrastive search (alpha)",
        minimum=0,
        maximum=1,
        step=0.01,
        group=OTHER,
        help="With top-k of 2 or more: balances likelihood and novelty, without chance. 0 is off.",
    )
    do_sample: bool = setting(
        True,
        label="Sample",
        group=TEMPERATURE,
        help="Off: always the likeliest token (greedy), whatever the rest says.",
    )
    temperature_last: bool = setting(
        False, label="Temperature last", group=TEMPERATURE, help="Applies the temperature after the cut-offs."
    )
    sampler_priority: list[str] = setting(
        [],
        label="Sampler order",
        group=OTHER,
        advanced=True,
        help="Names of samplers, first to last, one a line. Empty means the usual order.",
    )
    seed: int = setting(
        -1,
        label="Seed",
        minimum=-1,
        maximum=2**31 - 1,
        group=OTHER,
        help="Same seed, loader and settings: same text. -1 draws a new one each time.",
    )
    stop: list[str] = setting(
        [],
        label="Stop texts",
        group=LENGTH,
        help="Generation ends before any of these. One a line; \\n means a line break.",
    )
    custom_token_bans: str = setting(
        "",
        label="Banned tokens",
        group=LENGTH,
        advanced=True,
        help="Token ids, separated by commas, that are never chosen.",
    )
    logit_bias: str = setting(
        "",
        label="Logit bias",
        group=OTHER,
        advanced=True,
        help="id:bias pairs, separated by commas, added to the logits: 13:-2.5, 29:1.",
    )
    ban_eos_token: bool = setting(
        False,
        label="Never end by itself",
        group=LENGTH,
        help="Bans the end-of-text token: it goes on to the longest reply.",
    )
    add_bos_token: bool = setting(
        True,
        label="Begin with BOS",
        group=LENGTH,
        advanced=True,
        help="Puts the beginning-of-text token first, where the model has one.",
    )
    skip_special_tokens: bool = setting(
        True, label="Hide special tokens", group=LENGTH, advanced=True, help="Special tokens are left out of the text."
    )
    grammar_string: str = setting(
        "", label="Grammar", group=OTHER, advanced=True, help="A GBNF grammar that the text must follow."
    )
    truncate: bool = setting(
        True,
        label="Cut a prompt that is too long",
        group=LENGTH,
        help="On: the oldest text is left out, and the reply says how much. Off: such a prompt is refused.",
    )


# What every loader honours without saying so: these are not samplers.
ALWAYS_HONOURED = frozenset({"max_new_tokens", "stop", "seed", "skip_special_tokens", "truncate", "add_bos_token"})
# The names of all samplers. A loader that honours most of them subtracts the others.
ALL_SAMPLERS = frozenset(entry.name for entry in describe(SamplingParams)) - ALWAYS_HONOURED


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
