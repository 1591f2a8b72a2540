"""Converts SamplingParams to llama.cpp's samplers: which of them act, and in which order.

Source of names and definitions: `common/sampling.cpp` and `src/llama-sampler.cpp` of llama.cpp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from modules.protocol.json_schema import parse_json_schema
from modules.protocol.sampling import SamplingParams
from modules.protocol.sampling_texts import (
    DEFAULT_PRIORITY,
    parse_banned_tokens,
    parse_logit_biases,
    parse_sampler_order,
)

# Name in a sampler order -> llama.cpp's sampler. Several of our names may be one of its samplers.
ENGINE_NAMES = {
    "repetition_penalty": "penalties",
    "presence_penalty": "penalties",
    "frequency_penalty": "penalties",
    "dry": "dry",
    "top_n_sigma": "top_n_sigma",
    "temperature": "temperature",
    "dynamic_temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "typical_p": "typ_p",
    "min_p": "min_p",
    "xtc": "xtc",
    "adaptive_p": "adaptive_p",
}

# A min-p so small that it removes only tokens which are already cut. llama.cpp keeps tokens that are banned or cut by
# top-n-sigma in its list, with probability 0. With these, the entropy of typical-p is NaN, and dynamic temperature
# counts them as possible.
CUT_SHARE = 1e-37

# A text that does not occur in chats, because DRY needs at least one sequence breaker.
NO_BREAKER = "\uf8ff"


@dataclass(frozen=True)
class Temperature:
    """llama.cpp's dynamic temperature: from `middle` - `reach` to `middle` + `reach`. `reach` 0: a fixed
    temperature."""

    middle: float
    reach: float


def temperature(params: SamplingParams) -> Temperature:
    """Return the temperature of `params`; 0 if sampling is off."""
    if not params.do_sample:
        return Temperature(0.0, 0.0)
    if params.dynamic_temperature:
        low, high = sorted((params.dynatemp_low, params.dynatemp_high))
        return Temperature((low + high) / 2, (high - low) / 2)
    return Temperature(params.temperature, 0.0)


def is_greedy(params: SamplingParams) -> bool:
    """Return True if the likeliest token is always taken."""
    return temperature(params) == Temperature(0.0, 0.0)


def sampler_chain(params: SamplingParams) -> list[str]:
    """Return llama.cpp's names of the samplers that are not neutral, in their order.

    Greedy decoding keeps only the penalties, which can change the likeliest token. With sampling off, it keeps none.
    Raises SettingError for an unknown sampler in the order.
    """
    active = {
        "penalties": (params.repetition_penalty, params.presence_penalty, params.frequency_penalty) != (1, 0, 0),
        "dry": params.dry_multiplier > 0,
        "top_n_sigma": params.top_n_sigma > 0,
        "temperature": True,
        "top_k": params.top_k > 0,
        "top_p": params.top_p < 1,
        "typ_p": params.typical_p < 1,
        "min_p": params.min_p > 0,
        "xtc": params.xtc_probability > 0,
        "adaptive_p": params.adaptive_target > 0,
    }
    if is_greedy(params):
        keep = ("penalties", "dry", "temperature") if params.do_sample else ("temperature",)
        active = {name: on and name in keep for name, on in active.items()}
    order: list[str] = []
    for name in [*parse_sampler_order(params), *DEFAULT_PRIORITY]:
        engine_name = ENGINE_NAMES.get(name, "")
        if active.get(engine_name) and engine_name not in order:
            order.append(engine_name)
    if params.temperature_last or is_greedy(params):
        order.remove("temperature")
        order.append("temperature")
    return order


def cut_removal_index(names: list[str], params: SamplingParams) -> int | None:
    """Return the index in the chain `names` before which cut tokens must be removed from llama.cpp's list, or None."""
    misled = ("typ_p", "temperature") if temperature(params).reach else ("typ_p",)
    return next((place for place, name in enumerate(names) if name in misled), None)


def server_sampler_chain(params: SamplingParams) -> tuple[list[str], float]:
    """Return (chain, min-p) for llama.cpp's server, in which only min-p removes cut tokens from the list. If the user
    sets min-p, it stays in its place."""
    names = sampler_chain(params)
    place = cut_removal_index(names, params)
    if place is None or params.min_p > 0:
        return names, params.min_p
    return [*names[:place], "min_p", *names[place:]], CUT_SHARE


def penalty_range(params: SamplingParams, context: int) -> int:
    """Return the number of latest tokens that penalties and DRY consider."""
    return params.repetition_penalty_range or context


def dry_breakers(params: SamplingParams) -> list[str]:
    """Return DRY's sequence breakers, at least one."""
    return [text for text in params.dry_sequence_breakers if text] or [NO_BREAKER]


def token_biases(params: SamplingParams) -> dict[int, float]:
    """Return the values that are added to the logits, by token id; minus infinity for a banned token. Raises
    PromptError."""
    return {**parse_logit_biases(params), **dict.fromkeys(parse_banned_tokens(params), -math.inf)}


def server_json_schema(params: SamplingParams) -> dict[str, object] | None:
    """Return the schema for llama.cpp's server, or None. Raises PromptError.

    A server that is built with llguidance reads the further key: a weak model would fill free whitespace for ever.
    """
    schema = parse_json_schema(params)
    return {**schema, "x-guidance": {"whitespace_flexible": False}} if schema else schema
