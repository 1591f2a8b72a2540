"""The first part of SamplingParams: the temperature, and what leaves tokens out of the choice."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.schema import setting

CUT = "Cut-off"
TEMPERATURE = "Temperature"
REPEAT = "Repetition"
OTHER = "Other"
LENGTH = "Length and stopping"


@dataclass(frozen=True)
class TokenChoice:
    """The parameters that shape the probabilities of the next token. Defaults are neutral; see each field's help."""

    max_new_tokens: int = setting(
        512,
        label="Maximum reply length",
        minimum=1,
        maximum=1_000_000,
        unit="tokens",
        group=LENGTH,
        help="The most a reply can take. This much of the context is reserved for it.",
    )
    temperature: float = setting(
        1.0,
        label="Temperature",
        minimum=0,
        maximum=5,
        step=0.01,
        group=TEMPERATURE,
        help="Below 1 favours likely tokens, above 1 flattens the distribution. 0 always takes the likeliest token.",
    )
    dynamic_temperature: bool = setting(
        False,
        label="Dynamic temperature",
        group=TEMPERATURE,
        help="Chooses a temperature between low and high: the more uncertain the model (its entropy), the higher.",
    )
    dynatemp_low: float = setting(
        1.0, label="Dynamic temperature, low", minimum=0.01, maximum=5, step=0.01, group=TEMPERATURE
    )
    dynatemp_high: float = setting(
        1.0, label="Dynamic temperature, high", minimum=0.01, maximum=5, step=0.01, group=TEMPERATURE
    )
    dynatemp_exponent: float = setting(
        1.0,
        label="Dynamic temperature, exponent",
        minimum=0.01,
        maximum=5,
        step=0.01,
        group=TEMPERATURE,
        help="How the entropy maps to the temperature. 1 is linear.",
    )
    smoothing_factor: float = setting(
        0.0,
        label="Smoothing factor",
        minimum=0,
        maximum=10,
        step=0.01,
        group=TEMPERATURE,
        help="Quadratic sampling: makes unlikely tokens less likely and likely ones more equal. 0 is off.",
    )
    smoothing_curve: float = setting(1.0, label="Smoothing curve", minimum=1, maximum=10, step=0.1, group=TEMPERATURE)
    top_p: float = setting(
        1.0,
        label="Top-p",
        minimum=0,
        maximum=1,
        step=0.01,
        group=CUT,
        help="Keeps the smallest set of tokens whose probabilities add up to this. 1 is off.",
    )
    min_p: float = setting(
        0.0,
        label="Min-p",
        minimum=0,
        maximum=1,
        step=0.01,
        group=CUT,
        help="Drops tokens less likely than this share of the likeliest one. 0 is off.",
    )
    top_k: int = setting(
        0,
        label="Top-k",
        minimum=0,
        maximum=1000,
        unit="tokens",
        group=CUT,
        help="Keeps only this many tokens. 0 is off.",
    )
    typical_p: float = setting(
        1.0,
        label="Typical-p",
        minimum=0,
        maximum=1,
        step=0.01,
        group=CUT,
        help="Keeps tokens whose surprise is near the expected one. 1 is off.",
    )
    top_n_sigma: float = setting(
        0.0,
        label="Top-n-sigma",
        minimum=0,
        maximum=10,
        step=0.01,
        group=CUT,
        help="Keeps tokens whose logit is within this many standard deviations of the highest. 0 is off.",
    )
    tfs: float = setting(
        1.0,
        label="Tail-free sampling",
        minimum=0,
        maximum=1,
        step=0.01,
        group=CUT,
        help="Cuts where the probability curve's second derivative flattens out. 1 is off.",
    )
    top_a: float = setting(
        0.0,
        label="Top-a",
        minimum=0,
        maximum=1,
        step=0.01,
        group=CUT,
        help="Drops tokens below this times the square of the highest probability. 0 is off.",
    )
    epsilon_cutoff: float = setting(
        0.0,
        label="Epsilon cut-off",
        minimum=0,
        maximum=9,
        step=0.01,
        unit="1e-4",
        group=CUT,
        help="Drops tokens below this probability. 0 is off.",
    )
    eta_cutoff: float = setting(
        0.0,
        label="Eta cut-off",
        minimum=0,
        maximum=20,
        step=0.01,
        unit="1e-4",
        group=CUT,
        help="Like epsilon, but it moves with the entropy. 0 is off.",
    )
    xtc_threshold: float = setting(
        0.1,
        label="XTC threshold",
        minimum=0,
        maximum=0.5,
        step=0.01,
        group=CUT,
        help="With XTC, all but the least likely of the tokens above this are dropped.",
    )
    xtc_probability: float = setting(
        0.0,
        label="XTC probability",
        minimum=0,
        maximum=1,
        step=0.01,
        group=CUT,
        help="How often XTC acts: more surprising word choices. 0 is off.",
    )
    adaptive_target: float = setting(
        0.0,
        label="Adaptive-p target",
        minimum=0,
        maximum=1,
        step=0.01,
        group=OTHER,
        help="Prefers tokens near this probability, over time. 0 is off.",
    )
    adaptive_decay: float = setting(
        0.9,
        label="Adaptive-p decay",
        minimum=0,
        maximum=0.99,
        step=0.01,
        group=OTHER,
        help="How slowly adaptive-p forgets the tokens already chosen.",
    )
