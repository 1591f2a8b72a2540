"""The likeliest next tokens, from llama.cpp's server."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from loaders.xllamacpp.completion_request import server_error
from modules.protocol.errors import PaddockError
from modules.protocol.events import TokenProbability

# Draws of one token until the server reports its probabilities.
_MOST_DRAWS = 16


def likeliest_tokens(complete: Callable[[dict[str, Any]], Any], tokens: list[int], top: int) -> list[TokenProbability]:
    """Return [{"token", "text", "probability"}], likeliest first. `complete`: returns the answer to a request."""
    body = {"prompt": tokens, "n_predict": 1, "n_probs": top, "samplers": [], "temperature": 1.0}
    for seed in range(_MOST_DRAWS):
        answer = complete({**body, "seed": seed})
        if "choices" not in answer:
            raise server_error(answer.get("error", answer))
        # The server reports nothing for a drawn token that ends the text, or that is half a character.
        if logprobs := answer["choices"][0]["logprobs"]:
            break
    else:
        raise PaddockError(
            "llama.cpp's server reports no probabilities here, as nearly every next token ends the text or is half "
            "a character. Choose another prompt."
        )
    likeliest = logprobs["content"][0]["top_logprobs"]
    return [
        {"token": entry["id"], "text": entry["token"], "probability": _probability(entry["logprob"])}
        for entry in likeliest
    ]


def _probability(logprob: float | None) -> float:
    """Return a probability; NaN for null, since JSON has no NaN."""
    return math.nan if logprob is None else math.exp(logprob)
