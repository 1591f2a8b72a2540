"""Vectors for texts, made by an engine and scaled to length 1."""

from __future__ import annotations

import math
from collections.abc import Sequence

from modules.protocol.errors import PromptError
from modules.worker.broken_weights import nan_logits_error
from modules.worker.engine import EmbedInput, EngineBase


def embed(engine: EngineBase, inputs: list[EmbedInput]) -> dict[str, object]:
    """Return {"vectors": one for each input, of length 1 (L2), "tokens": of all inputs}.

    Raises PromptError for an empty input, and what the engine raises.
    """
    counts = [len(one) if isinstance(one, list) else len(engine.tokenize(one, True)) for one in inputs]
    if 0 in counts or "" in inputs:
        place = next(place for place, one in enumerate(inputs) if not one or not counts[place])
        raise PromptError(f"Input {place} to embed is empty. Leave it out, or write something.")
    return {"vectors": [_unit(vector) for vector in engine.embed(inputs)], "tokens": sum(counts)}


def too_long_error(tokens: int, most: int, remedy: str) -> PromptError:
    """Return the error for an input of `tokens` tokens where at most `most` can be embedded."""
    return PromptError(f"A text to embed has {tokens} tokens; at most {most} go at once. Shorten it, or {remedy}.")


def longer_remedy(most: int, trained: int, reads_only: bool) -> str:
    """Return what to do about an input of more than `most` tokens for llama.cpp. `trained`: the trained context."""
    if not reads_only:
        return "raise Micro-batch and Batch"
    return "raise Context length" if most < trained else "send it in parts"


def unknown_token_error() -> PromptError:
    """Return the error for a token id that the model does not have."""
    return PromptError("The model has no token with one of these ids. Send ids of its tokenizer.")


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(math.fsum(value * value for value in vector))
    if not math.isfinite(length):
        raise nan_logits_error()
    return [value / length for value in vector] if length else list(vector)
