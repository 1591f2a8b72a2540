"""Scores of documents from llama.cpp's server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modules.protocol.errors import PaddockError
from modules.protocol.events import RerankResult
from modules.worker.llama.gguf_keys import GgufKeys
from modules.worker.llama.prompt_tokens import LlamaTokenizer
from modules.worker.reranking import as_score, long_query_error

# The start, the end and the separators that the server puts around query and document.
_AROUND = 4
# What is cut from a document at least, of its letters, until it fits.
_SHORTER = 0.95
# These end in a softmax over yes and no, so the score of yes is a probability already.
_PROBABILITIES = ("qwen3",)


def server_scores(
    server: Any, query: str, documents: list[str], prompts: LlamaTokenizer, most: int, keys: GgufKeys
) -> RerankResult:
    """Return a score for each document. The server reads at most `most` tokens of query and document together.

    `prompts`: the model's tokenizer. Raises PromptError or PaddockError.
    """

    def count(text: str) -> int:
        return len(prompts.ids(text, True))

    around = _AROUND + count(str(keys.values.get("tokenizer.chat_template.rerank", "")))
    asked = count(query) + around
    if asked >= most:
        raise long_query_error(asked, most)
    read = [_beginning(document, most - asked, count) for document in documents]
    answer = server.handle_rerank({"query": query, "documents": read})
    if "results" not in answer:
        message = str(answer.get("error", answer))
        raise PaddockError(f"llama.cpp cannot score these documents: {message}. Shorten them.", detail=message)
    found = {entry["index"]: float(entry["relevance_score"]) for entry in answer["results"]}
    as_is = keys.architecture in _PROBABILITIES
    scores = [found[place] if as_is else as_score(found[place]) for place in range(len(documents))]
    cut = [place for place, document in enumerate(documents) if len(read[place]) < len(document)]
    return RerankResult(scores, int(answer["usage"]["prompt_tokens"]), cut)


def separator_note(keys: GgufKeys) -> list[str]:
    """Return a sentence for a WordPiece model, such as BERT: the server leaves out the last [SEP] of a pair, unless the
    file asks for an end token."""
    if keys.values.get("tokenizer.ggml.model") != "bert" or keys.values.get("tokenizer.ggml.add_eos_token"):
        return []
    return [
        (
            "llama.cpp leaves out the last [SEP] behind a document, so the scores of this model differ from the "
            "original's. The Transformers loader computes them exactly from the model's folder."
        )
    ]


def _beginning(text: str, most: int, count: Callable[[str], int]) -> str:
    """Return as much of the beginning of `text` as has at most `most` tokens."""
    while (tokens := count(text)) > most:
        text = text[: int(len(text) * most / tokens * _SHORTER)]
    return text
