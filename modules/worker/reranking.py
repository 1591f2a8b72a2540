"""Scores of documents for a query, made by an engine."""

from __future__ import annotations

import math

from modules.protocol.errors import PromptError
from modules.worker.broken_weights import nan_logits_error
from modules.worker.engine import EngineBase


def rerank(engine: EngineBase, query: str, documents: list[str]) -> dict[str, object]:
    """Return the fields of events.RerankResult. Raises PromptError for an empty query, and what the engine raises."""
    if not query.strip():
        raise PromptError("The query is empty. Write what the documents are to answer.")
    found = engine.rerank(query, documents)
    if not all(math.isfinite(score) for score in found.scores):
        raise nan_logits_error()
    return vars(found)


def as_score(logit: float) -> float:
    """Return a logit as a number from 0 to 1, by the logistic function."""
    return (1 + math.tanh(logit / 2)) / 2


def long_query_error(tokens: int, most: int) -> PromptError:
    """Return the error for a query of `tokens` tokens where the model reads `most` of query and document together."""
    return PromptError(
        f"The query has {tokens} tokens, and this model reads {most} of query and document together. Shorten the query."
    )
