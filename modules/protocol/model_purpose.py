"""What models are for: which requests a model of a purpose answers, and sentences for those that it does not."""

from __future__ import annotations

# Purpose -> what such a model does.
_DOES = {
    "generate": "generates text",
    "embed": "is an embedding model: it turns texts into vectors for a search",
    "rerank": "is a reranker: it scores how well a text answers a question",
    "classify": "is a classifier: it gives labels",
    "encode": "is an encoder: it fills gaps in a text, or produces input for another model",
    "encode-decode": "is an encoder-decoder: it turns one text into another, like a translator, and does not chat",
    "other": "is not a language model",
}
# Purposes of models that read texts and write none, which loaders can run.
READERS = ("embed", "encode", "rerank")
# Task -> purposes of the models that do it. What is unknown ("") is left to the engine.
_SERVES = {
    "generate": ("", "generate"),
    "embed": ("", "generate", "embed", "encode"),
    "rerank": ("", "rerank"),
}
# Purpose -> where programs use such a model.
_ROUTES = {"embed": "/v1/embeddings", "rerank": "/v1/rerank"}


def generates_text(purpose: str) -> bool:
    """Return True for a model that generates text, or whose purpose is unknown."""
    return purpose in _SERVES["generate"]


def explain_no_chat(name: str, purpose: str, architecture: str) -> str:
    """Return why a model of that purpose cannot chat; "" if it generates text."""
    if generates_text(purpose):
        return ""
    kind = f" ({architecture})" if architecture else ""
    use = f" Programs use it through {_ROUTES[purpose]}." if purpose in _ROUTES else ""
    return f"{name} {_DOES[purpose]}{kind}, so it cannot chat.{use} For a chat, choose a model that generates text."


def explain_wrong_loader(title: str, name: str, purpose: str, architecture: str) -> str:
    """Return why the loader `title`, which loads no models of that purpose, cannot load the model."""
    if purpose in READERS:
        return f"{name} {_DOES[purpose]}, and {title} loads no such models. Choose another loader."
    return explain_no_chat(name, purpose, architecture)


def explain_wrong_task(task: str, name: str, purpose: str, architecture: str = "") -> str:
    """Return why a model cannot do `task` ("generate", "embed" or "rerank"), with a next step; "" if it can."""
    if purpose in _SERVES[task]:
        return ""
    if task == "generate":
        return explain_no_chat(name, purpose, architecture)
    if task == "embed":
        return f"{name} {_DOES[purpose]}, so it makes no embeddings. Name an embedding model or a chat model."
    return f"{name} {_DOES[purpose]}, so it cannot rerank. Name a reranker: GET /v1/models lists each model's purpose."
