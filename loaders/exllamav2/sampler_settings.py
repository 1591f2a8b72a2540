"""ExLlamaV2's sampler settings (exllamav2/generator/sampler.py and ext_sampling.cpp, version 0.3.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modules.protocol.errors import Unsupported
from modules.protocol.sampling import SamplingParams

# ExLlamaV2 treats a top-p of 0 as off.
_LEAST_TOP_P = 1e-6
# ExLlamaV2 treats a min-p of 1 as off.
_MOST_MIN_P = 0.999999
# Tokens that apply_dry compares. Its range must be longer; 0 is the whole text.
_DRY_LONGEST = 20


def sampler_settings(params: SamplingParams, vocabulary: int) -> dict[str, object]:
    """Return all fields of ExLlamaV2Sampler.Settings, since its defaults are not neutral.

    `vocabulary` is the number of tokens. Raises Unsupported.
    """
    if params.mirostat_mode == 1:
        raise Unsupported("ExLlamaV2 has Mirostat 2 only. Set Mirostat to 2 or 0.")
    if not params.do_sample:
        return _NEUTRAL | {"top_k": 1}
    fields = _NEUTRAL | {
        "temperature": params.temperature,
        "smoothing_factor": params.smoothing_factor,
        "top_k": params.top_k,
        "top_p": max(params.top_p, _LEAST_TOP_P) if params.top_p < 1 else 0.0,
        "top_a": params.top_a,
        "min_p": min(params.min_p, _MOST_MIN_P),
        "tfs": params.tfs if params.tfs < 1 else 0.0,
        "typical": params.typical_p if params.typical_p < 1 else 0.0,
        "temperature_last": params.temperature_last,
        "token_repetition_penalty": params.repetition_penalty,
        "token_repetition_range": params.repetition_penalty_range or -1,
        "token_frequency_penalty": params.frequency_penalty,
        "token_presence_penalty": params.presence_penalty,
        "xtc_probability": params.xtc_probability,
        "xtc_threshold": params.xtc_threshold,
        "mirostat": params.mirostat_mode == 2,
        "mirostat_tau": params.mirostat_tau,
        "mirostat_eta": params.mirostat_eta,
        "dry_multiplier": params.dry_multiplier,
        "dry_base": params.dry_base,
        "dry_allowed_length": params.dry_allowed_length,
        "dry_range": max(params.repetition_penalty_range, _DRY_LONGEST + 1) if params.repetition_penalty_range else 0,
        "dry_max_ngram": _DRY_LONGEST,
    }
    if params.dynamic_temperature:
        low, high = sorted((params.dynatemp_low, params.dynatemp_high))
        # ExLlamaV2 treats equal limits as off. Then it is a plain temperature.
        dynamic = {"min_temp": low, "max_temp": high, "temp_exponent": params.dynatemp_exponent}
        fields |= {"temperature": 1.0, "temperature_last": False, **dynamic} if low < high else {"temperature": low}
    if params.mirostat_mode:
        fields |= {name: _NEUTRAL[name] for name in _CUTS if name not in ("smoothing_factor", "mirostat")} | {
            "top_k": 0
        }
    if fields["xtc_probability"] > 0 and not fields["top_k"] and not fields["top_p"]:
        # Its XTC needs sorted tokens, which only top-k and top-p produce: keep all but the least likely.
        fields["top_k"] = vocabulary - 1
    if fields["temperature"] == 0:
        # A temperature of 0 keeps the penalties, which change the likeliest token, and no other sampler.
        fields |= {name: _NEUTRAL[name] for name in _CUTS} | {"top_k": 1, "temperature": 1.0}
    if params.guidance_scale != 1:
        fields["cfg_scale"] = params.guidance_scale
    return fields


# Values that leave the model's distribution unchanged.
_NEUTRAL: dict[str, Any] = {
    "temperature": 1.0,
    "smoothing_factor": 0.0,
    "min_temp": 0.0,
    "max_temp": 0.0,
    "temp_exponent": 1.0,
    "top_k": 0,
    "top_p": 0.0,
    "top_a": 0.0,
    "min_p": 0.0,
    "tfs": 0.0,
    "typical": 0.0,
    "skew": 0.0,
    "temperature_last": False,
    "token_repetition_penalty": 1.0,
    "token_repetition_range": -1,
    "token_repetition_decay": 0,
    "token_frequency_penalty": 0.0,
    "token_presence_penalty": 0.0,
    "xtc_probability": 0.0,
    "mirostat": False,
    "dry_multiplier": 0.0,
}
_CUTS = ("smoothing_factor", "top_p", "top_a", "min_p", "tfs", "typical", "xtc_probability", "mirostat")


def breaker_tokens(pieces: Iterable[str], breakers: Iterable[str]) -> set[int]:
    """Return the ids of tokens whose text contains one of `breakers`. `pieces` has the text of each token in order."""
    wanted = [text for text in breakers if text]
    return {token for token, piece in enumerate(pieces) if any(text in piece for text in wanted)}
