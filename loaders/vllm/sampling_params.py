"""Convert sampling parameters to vLLM's (vllm/sampling_params.py, version 0.32.0)."""

from __future__ import annotations

from typing import Any

from modules.protocol.errors import PromptError
from modules.protocol.sampling import SamplingParams
from modules.worker.llama.sampler_settings import token_biases

# vLLM limits biases to this value, which in effect bans or forces a token.
_MAX_BIAS = 100.0
# A check in vLLM's request handling. Its sampler has no such limit.
_MAX_TEMPERATURE = 2.0
# vLLM does not accept 0, which means only the likeliest token.
_MIN_TOP_P = 1e-6
# vLLM refuses these while it drafts (SamplingParams._validate_spec_decode).
NOT_WITH_DRAFTS = ("min_p", "logit_bias", "custom_token_bans")


def sampling_fields(
    params: SamplingParams, ends: tuple[int, ...], longest: int, seed: int, drafting: bool = False
) -> dict[str, object]:
    """Return the fields of vLLM's SamplingParams except the grammar. `ends`: tokens that end a reply.

    `drafting`: without those that vLLM refuses then. Raises PromptError.
    """
    found = {token: max(-_MAX_BIAS, min(_MAX_BIAS, bias)) for token, bias in token_biases(params).items()}
    if params.ban_eos_token:
        found.update(dict.fromkeys(ends, -_MAX_BIAS))
    if params.do_sample and params.temperature > _MAX_TEMPERATURE:
        raise PromptError(f"vLLM supports a temperature of at most {_MAX_TEMPERATURE:g}. Lower Temperature.")
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
        fields |= {"top_p": max(params.top_p, _MIN_TOP_P), "top_k": params.top_k, "min_p": params.min_p}
    if drafting:
        fields["logit_bias"] = None
        fields.pop("min_p", None)
    return fields
