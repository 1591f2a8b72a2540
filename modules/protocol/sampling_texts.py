"""Reads the parameters of SamplingParams that are texts with a format of their own: sampler order, bans and biases."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isnan

from modules.protocol.errors import PromptError, SettingError
from modules.protocol.json_schema import parse_json_schema
from modules.protocol.sampling import SamplingParams

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

# Far above what anyone needs: engines look for every stop text, and touch every biased logit, at each token.
MOST_STOPS = 1000
MOST_STOP_LETTERS = 100_000
MOST_TOKENS = 300_000
# No vocabulary has an id like this, and the integers of engines end here.
_MOST_TOKEN = 2**31
# Engines try all alternatives of a grammar at each token. While one does, no other reply gets on.
MOST_GRAMMAR_LETTERS = 50_000
# Characters of a wrong value that an error repeats.
_SHOWN = 100


def check_stops(params: SamplingParams) -> None:
    """Raise PromptError if there are too many stop texts, or too long ones."""
    if len(params.stop) > MOST_STOPS or sum(map(len, params.stop)) > MOST_STOP_LETTERS:
        raise PromptError(
            f"There can be {MOST_STOPS} stop texts with {MOST_STOP_LETTERS} letters in all. Send fewer or shorter ones."
        )


def check_grammar(params: SamplingParams) -> None:
    """Raise PromptError if the grammar is too long."""
    if len(params.grammar_string) > MOST_GRAMMAR_LETTERS:
        raise PromptError(f"A grammar can have {MOST_GRAMMAR_LETTERS} letters. Write it with fewer alternatives.")


def parse_banned_tokens(params: SamplingParams) -> list[int]:
    """Return the ids in `custom_token_bans`: '13, 29' -> [13, 29]. Raises PromptError."""
    try:
        banned = [int(part) for part in _parts(params.custom_token_bans)]
        if not all(0 <= token < _MOST_TOKEN for token in banned):
            raise ValueError
        return banned
    except ValueError:
        raise PromptError(
            f"Banned tokens cannot be {params.custom_token_bans[:_SHOWN]!r}. "
            f"Write at most {MOST_TOKENS} token ids, separated by commas, such as 13, 29."
        ) from None


def parse_logit_biases(params: SamplingParams) -> dict[int, float]:
    """Return the biases in `logit_bias` by token id: '13:-2.5, 29:1' -> {13: -2.5, 29: 1.0}. Raises PromptError."""
    try:
        pairs = (part.split(":") for part in _parts(params.logit_bias))
        biases = {int(token): float(bias) for token, bias in pairs}
        # Minus infinity bans a token. Plus infinity and NaN would make all probabilities NaN.
        if any(isnan(bias) or bias == inf for bias in biases.values()):
            raise ValueError
        if not all(0 <= token < _MOST_TOKEN for token in biases):
            raise ValueError
        return biases
    except ValueError:
        raise PromptError(
            f"Logit bias cannot be {params.logit_bias[:_SHOWN]!r}. "
            f"Write at most {MOST_TOKENS} id:bias pairs, separated by commas, such as 13:-2.5, 29:1."
        ) from None


def _parts(text: str) -> list[str]:
    """Return the parts between commas. Raise ValueError if there are too many, before they take memory."""
    if text.count(",") + text.count("\n") >= MOST_TOKENS:
        raise ValueError
    return [part for part in text.replace("\n", ",").split(",") if part.strip()]


def parse_sampler_order(params: SamplingParams) -> list[str]:
    """Return the samplers in `sampler_priority`, one per item or line, first to last. Raises SettingError for a name
    that does not exist."""
    names = [name.strip() for item in params.sampler_priority for name in item.splitlines() if name.strip()]
    for name in names:
        if name not in DEFAULT_PRIORITY:
            raise SettingError(f"There is no sampler named {name!r}. The samplers are: {', '.join(DEFAULT_PRIORITY)}.")
    return list(dict.fromkeys(names))


# Parameters that are texts with their own format -> the function that parses or checks them, or raises an error for
# the user.
TEXT_PARSERS: dict[str, Callable[[SamplingParams], object]] = {
    "stop": check_stops,
    "grammar_string": check_grammar,
    "sampler_priority": parse_sampler_order,
    "custom_token_bans": parse_banned_tokens,
    "logit_bias": parse_logit_biases,
    "json_schema": parse_json_schema,
}
