"""What a model that does not chat does, in a sentence."""

from __future__ import annotations

# Purpose -> what such a model does, for the sentence that says why nothing here can chat with it.
_DOES = {
    "embed": "is an embedding model: it turns texts into vectors for a search",
    "rerank": "is a reranker: it scores how well a text answers a question",
    "classify": "is a classifier: it gives labels",
    "encode": "is an encoder: it fills gaps in a text, or feeds another model",
    "encode-decode": "is an encoder-decoder: it turns one text into another, as translators do, and keeps no chat",
    "other": "is no language model",
}


def explain_no_chat(name: str, purpose: str, architecture: str) -> str:
    """Why no loader here runs a model of that purpose, as a sentence; "" for one that generates text."""
    if purpose in ("", "generate"):
        return ""
    kind = f" ({architecture})" if architecture else ""
    return f"{name} {_DOES[purpose]}{kind}, so it cannot chat. Choose a model that generates text."
