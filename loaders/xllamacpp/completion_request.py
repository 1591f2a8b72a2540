"""A completion request in the words of llama.cpp's server (tools/server/README.md, POST /completion)."""

from __future__ import annotations

import math
import re
from typing import Any

from modules.families.llama_cpp import LOWER_FOR_MEMORY
from modules.protocol.errors import ModelError, OutOfMemory, PaddockError, PromptError
from modules.protocol.sampling import SamplingParams
from modules.worker.llama.sampler_settings import (
    dry_breakers,
    penalty_range,
    server_sampler_chain,
    temperature,
    token_biases,
)


def completion(
    tokens: list[int],
    params: SamplingParams,
    seed: int,
    context: int,
    control: tuple[str, ...],
    visible: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The body for these prompt tokens. Stop texts are not in it: at the longest reply the server would lose text that
    it holds back for them. `control`: names of the model's special tokens; `visible`: of those that are text."""
    heat = temperature(params)
    samplers, min_p = server_sampler_chain(params)
    body: dict[str, Any] = {
        "prompt": tokens,
        "stream": True,
        "return_progress": True,
        "sse_ping_interval": -1,
        "cache_prompt": True,
        "n_predict": params.max_new_tokens,
        "seed": seed,
        "samplers": samplers,
        "temperature": heat.middle,
        "dynatemp_range": heat.reach,
        "dynatemp_exponent": params.dynatemp_exponent,
        "top_k": params.top_k,
        "top_p": params.top_p,
        "min_p": min_p,
        "typical_p": params.typical_p,
        "top_n_sigma": params.top_n_sigma,
        "xtc_probability": params.xtc_probability,
        "xtc_threshold": params.xtc_threshold,
        "adaptive_target": params.adaptive_target,
        "adaptive_decay": params.adaptive_decay,
        "repeat_penalty": params.repetition_penalty,
        "frequency_penalty": params.frequency_penalty,
        "presence_penalty": params.presence_penalty,
        "repeat_last_n": penalty_range(params, context),
        "dry_multiplier": params.dry_multiplier,
        "dry_base": params.dry_base,
        "dry_allowed_length": params.dry_allowed_length,
        "dry_penalty_last_n": penalty_range(params, context),
        "dry_sequence_breakers": dry_breakers(params),
        "mirostat": params.mirostat_mode if heat.middle > 0 else 0,
        "mirostat_tau": params.mirostat_tau,
        "mirostat_eta": params.mirostat_eta,
        "ignore_eos": params.ban_eos_token,
        "logit_bias": [[token, False if bias == -math.inf else bias] for token, bias in token_biases(params).items()],
    }
    if params.grammar_string:
        body["grammar"] = params.grammar_string
    if shown := visible if params.skip_special_tokens else control:
        body["preserved_tokens"] = list(shown)
    return body


def refusal(error: dict[str, Any]) -> PaddockError:
    """The server's error in plain words."""
    said = str(error.get("message", error))
    if "grammar" in said:
        return PromptError(
            "The grammar cannot be used: llama.cpp cannot read it. Check it against the GBNF guide, or clear Grammar.",
            detail=said,
        )
    if "invalid tokens" in said:
        return PromptError("The prompt holds token ids that this model does not have. Correct them.", detail=said)
    if "Context size" in said or "KV cache" in said or error.get("type") == "exceed_context_size_error":
        return OutOfMemory(
            "The context is full: the chats that run at once share it. Raise Context length, lower Replies at once, "
            "or wait until the other replies are done.",
            detail=said,
            lower=("slots",),
        )
    if "allocate" in said or "memory" in said:
        return OutOfMemory(
            "Memory ran out while reading the prompt. Lower Context length or choose cache type q8_0.",
            detail=said,
            lower=LOWER_FOR_MEMORY,
        )
    return PaddockError(f"llama.cpp ended the reply: {said}. Try again, or load the model again.", detail=said)


def adapter_refusal(said: str) -> ModelError | None:
    """Why llama.cpp does not start with a LoRA adapter, from what it `said` on stderr; None if that is not why."""
    found = re.search(r"failed to load lora adapter '(?:[^']*[/\\])?([^']*)'", said)
    if not found:
        return None
    why = re.search(r"failed to apply lora adapter: (.+)", said)
    return ModelError(
        f"The LoRA adapter {found[1]} does not fit this model{f' ({why[1].strip()})' if why else ''}. Load the model "
        "that it was made for, or choose another adapter.",
        detail=said,
    )
