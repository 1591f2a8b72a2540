"""Build a completion request of llama.cpp's server (tools/server/README.md, POST /completion)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from modules.families.llama_cpp import LOWER_FOR_MEMORY
from modules.protocol.errors import ModelError, OutOfMemory, PaddockError, PromptError
from modules.protocol.json_schema import unreadable_grammar_error
from modules.protocol.sampling import SamplingParams
from modules.worker.llama.sampler_settings import (
    dry_breakers,
    penalty_range,
    server_json_schema,
    server_sampler_chain,
    temperature,
    token_biases,
)


def completion_request(
    tokens: list[int],
    params: SamplingParams,
    seed: int,
    context: int,
    control: tuple[str, ...],
    visible: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return the request body for these prompt tokens.

    Stop texts are left out: when a reply reaches its maximum length, the server drops text that it holds back for
    them. `control` has the names of the model's special tokens, `visible` those that are shown as text.
    """
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
    if (schema := server_json_schema(params)) is not None:
        body["json_schema"] = schema
    if shown := visible if params.skip_special_tokens else control:
        body["preserved_tokens"] = list(shown)
    return body


def server_error(error: Mapping[str, object]) -> PaddockError:
    """Return the exception for an error of the server, with a next step."""
    message = str(error.get("message", error))
    if "grammar" in message or "JSON schema" in message:
        return unreadable_grammar_error("llama.cpp", message)
    if "invalid tokens" in message:
        return PromptError("The prompt has token ids that this model does not have. Correct them.", detail=message)
    if "Context size" in message or "KV cache" in message or error.get("type") == "exceed_context_size_error":
        return OutOfMemory(
            "The context is full, since chats that run at once share it. Give each reply a cache (Model tab), raise "
            "Context length, lower Replies at once, or wait until the other replies have ended.",
            detail=message,
            lower=("slots",),
        )
    if "allocate" in message or "memory" in message:
        return OutOfMemory(
            "Memory ran out while reading the prompt. Lower Context length or choose cache type q8_0.",
            detail=message,
            lower=LOWER_FOR_MEMORY,
        )
    return PaddockError(f"llama.cpp ended the reply: {message}. Try again, or load the model again.", detail=message)


def adapter_error(message: str) -> ModelError | None:
    """Why llama.cpp does not start with a LoRA adapter, from what it `message` on stderr; None if that is not why."""
    found = re.search(r"failed to load lora adapter '(?:[^']*[/\\])?([^']*)'", message)
    if not found:
        return None
    why = re.search(r"failed to apply lora adapter: (.+)", message)
    return ModelError(
        f"The LoRA adapter {found[1]} does not fit this model{f' ({why[1].strip()})' if why else ''}. Load the model "
        "that it was made for, or choose another adapter.",
        detail=message,
    )
