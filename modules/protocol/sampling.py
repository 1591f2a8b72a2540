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
        help="Penalizes tokens that would continue a sequence seen before. 0 is off; 0.8 is a good start.",
    )
    dry_allowed_length: int = setting(
        2,
        label="DRY allowed length",
        minimum=1,
        maximum=100,
        unit="tokens",
        group=REPEAT,
        help="Repeats up to this length are not penalized.",
    )
    dry_base: float = setting(1.75, label="DRY base", minimum=1, maximum=4, step=0.01, group=REPEAT)
    dry_sequence_breakers: list[str] = setting(
        ["\n", ":", '"', "*"],
        label="DRY sequence breakers",
        group=REPEAT,
        help="DRY does not match across these texts. One per line; \\n means a line break.",
    )
    repetition_penalty: float = setting(
        1.0,
        label="Repetition penalty",
        minimum=0.01,
        maximum=2,
        step=0.01,
        group=REPEAT,
        help="Above 1 makes tokens that have occurred less likely, below 1 more likely. 1 is off.",
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
        help="Subtracted from a token's logit once for each time that it occurred. 0 is off.",
    )
    presence_penalty: float = setting(
        0.0,
        label="Presence penalty",
        minimum=-2,
        maximum=2,
        step=0.05,
        group=REPEAT,
        help="Subtracted once from the logit of each token that occurred. 0 is off.",
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
        help="Keeps the text's surprise near tau and replaces the other cut-offs. 0 is off.",
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
        help="Classifier-free guidance: above 1 moves away from the negative prompt, at half the speed. 1 is off.",
    )
    negative_prompt: str = setting("", label="Negative prompt", group=OTHER)
    do_sample: bool = setting(
        True,
        label="Sample",
        group=TEMPERATURE,
        help="Off: always takes the likeliest token (greedy) and ignores the other parameters.",
    )
    temperature_last: bool = setting(
        False, label="Temperature last", group=TEMPERATURE, help="Applies the temperature after the cut-offs."
    )
    sampler_priority: list[str] = setting(
        [],
        label="Sampler order",
        group=OTHER,
        advanced=True,
        help="Names of samplers, first to last, one per line. Empty means the default order.",
    )
    seed: int = setting(
        -1,
        label="Seed",
        minimum=-1,
        maximum=2**31 - 1,
        group=OTHER,
        help="The same seed, loader and settings give the same text. -1 draws a new seed each time.",
    )
    stop: list[str] = setting(
        [],
        label="Stop texts",
        group=LENGTH,
        help="Generation ends before any of these texts. One per line; \\n means a line break.",
    )
    custom_token_bans: str = setting(
        "",
        label="Banned tokens",
        group=LENGTH,
        advanced=True,
        help="Ids of tokens that are never chosen, separated by commas.",
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
        label="Ignore the end-of-text token",
        group=LENGTH,
        help="Bans the end-of-text token, so replies run to their maximum length.",
    )
    add_bos_token: bool = setting(
        True,
        label="Begin with BOS",
        group=LENGTH,
        advanced=True,
        help="Adds the beginning-of-text token before the prompt if the model has one.",
    )
    skip_special_tokens: bool = setting(
        True, label="Hide special tokens", group=LENGTH, advanced=True, help="Special tokens are left out of the text."
    )
    grammar_string: str = setting(
        "", label="Grammar", group=OTHER, advanced=True, help="A GBNF grammar that the text must follow."
    )
    json_schema: str = setting(
        "",
        label="JSON schema",
        group=OTHER,
        advanced=True,
        help="A JSON schema. The text is JSON that follows it. {} allows any JSON.",
    )
    truncate: bool = setting(
        True,
        label="Cut a prompt that is too long",
        group=LENGTH,
        help="On: the oldest text is left out, and the reply says how much. Off: a prompt that is too long is refused.",
    )


# Every loader honours these without naming them: they are not samplers.
ALWAYS_HONOURED = frozenset({"max_new_tokens", "stop", "seed", "skip_special_tokens", "truncate", "add_bos_token"})
# The names of all samplers. A loader that honours most of them subtracts the others.
ALL_SAMPLERS = frozenset(entry.name for entry in describe(SamplingParams)) - ALWAYS_HONOURED


def active_samplers(params: SamplingParams) -> frozenset[str]:
    """Return the names of the parameters that are not neutral: a loader honours them, or is reported to ignore them."""
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
