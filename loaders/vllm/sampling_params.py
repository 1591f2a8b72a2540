"""Sampling parameters in vLLM's words (vllm/sampling_params.py, version 0.32.0)."""

from __future__ import annotations

from typing import Any

from modules.protocol.errors import PromptError
from modules.protocol.sampling import SamplingParams
from modules.worker.llama.sampler_settings import token_biases

# vLLM clips biases to this, either way: in effect a ban or a must.
_FARTHEST = 100.0
# Its own check, at every step of a request's way; its sampler would know no such end.
_HOTTEST = 2.0
# It takes no 0, which means the likeliest token alone.
_LEAST_TOP_P = 1e-6


def sampling_fields(params: SamplingParams, ends: tuple[int, ...], longest: int, seed: int) -> dict[str, Any]:
    """Fields of vLLM's SamplingParams but for the grammar. `ends`: tokens that end a reply. Raises PromptError."""
    found = {token: max(-_FARTHEST, min(_FARTHEST, bias)) for token, bias in token_biases(params).items()}
    if params.ban_eos_token:
        found.update(dict.fromkeys(ends, -_FARTHEST))
    if params.do_sample and params.temperature > _HOTTEST:
        raise PromptError(f"vLLM takes a temperature of at most {_HOTTEST:g}. Lower Temperature.")
    greedy = not params.do_sample or params.temperature == 0
    fields: dict[str, Any] = {
        "max_tokens": longest,
        "seed": seed,
        "temperature": 0.0 if greedy else params.temperature,
        "detokenize": False,
        "ignore_eos": params.ban_eos_token,
        "stop_token_ids": [] if params.ban_eos_token else list(ends),
        "logit_bias": found or None,
    }
    if params.do_sample:
        fields |= {
            "repetition_penalty": params.repetition_penalty,
            "frequency_penalty": params.frequency_penalty,
            "presence_penalty": params.presence_penalty,
        }
    if not greedy:
        fields |= {"top_p": max(params.top_p, _LEAST_TOP_P), "top_k": params.top_k, "min_p": params.min_p}
    return fields
