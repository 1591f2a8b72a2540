"""The settings with which llama.cpp loads a model that only reads: for embeddings or reranking."""

from __future__ import annotations

import dataclasses
from typing import Any

# Used if Context length is 0 and the model's own is longer. A text is computed at once, which takes the square of its
# length.
READING_CONTEXT = 2048


def reading_settings(settings: Any, trained: int) -> Any:
    """Return LlamaCppSettings for a model that only reads: a text is one micro-batch, and has the server alone.

    `trained`: the trained context length, 0 if unknown.
    """
    context = min(settings.context or READING_CONTEXT, trained or settings.context or READING_CONTEXT)
    alone = {"slots": 1} if hasattr(settings, "slots") else {}
    drafts = {"ngram_draft": False, "draft_model": "", "mtp_draft": False}
    undrafted = {name: value for name, value in drafts.items() if hasattr(settings, name)}
    sizes = {"context": context, "batch": context, "micro_batch": context}
    return dataclasses.replace(settings, **sizes, **alone, **undrafted)
