"""The log-probabilities of a reply's tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from modules.protocol.events import ReplyLogprob
from modules.worker.token_logprobs import logprob_entry

if TYPE_CHECKING:
    from torch import Tensor


def token_scores(
    scores: Tensor | None, token: int, count: int, bytes_of: Callable[[int], bytes]
) -> ReplyLogprob | None:
    """Return a token's entry of Chunk.logprobs, with `count` of the likeliest tokens; None without scores.

    `scores`: ln p of each token, [vocabulary].
    """
    if scores is None:
        return None
    top = scores.topk(min(count, scores.shape[-1]))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return logprob_entry(token, float(scores[token]), pairs, bytes_of)


def is_number(logits: Tensor, token: int | None) -> bool:
    """Return True if the logit of the chosen token is not NaN; without a token, if no logit is NaN."""
    return not bool((logits if token is None else logits[token]).isnan().any())
