"""Sentences about models that do not generate text."""

from __future__ import annotations

# Purpose -> what such a model does.
_DOES = {
    "embed": "is an embedding model: it turns texts into vectors for a search",
    "rerank": "is a reranker: it scores how well a text answers a question",
    "classify": "is a classifier: it gives labels",
    "encode": "is an encoder: it fills gaps in a text, or produces input for another model",
    "encode-decode": "is an encoder-decoder: it turns one text into another, like a translator, and does not chat",
    "other": "is not a language model",
}


def explain_no_chat(name: str, purpose: str, architecture: str) -> str:
    """Return why a model of that purpose cannot chat; "" if it generates text."""
    if purpose in ("", "generate"):
        return ""
    kind = f" ({architecture})" if architecture else ""
    return f"{name} {_DOES[purpose]}{kind}, so it cannot chat. Choose a model that generates text."
