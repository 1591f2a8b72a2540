"""Scores of documents from llama.cpp's server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from modules.protocol.errors import PaddockError
from modules.protocol.events import RerankResult
from modules.worker.llama.gguf_keys import GgufKeys
from modules.worker.llama.prompt_tokens import LlamaTokenizer
from modules.worker.reranking import as_score, long_query_error

if TYPE_CHECKING:
    from xllamacpp import Server

# The start, the end and the separators that the server puts around query and document.
_AROUND = 4
# What is cut from a document at least, of its letters, until it fits.
_SHORTER = 0.95
# These end in a softmax over yes and no, so the score of yes is a probability already.
_PROBABILITIES = ("qwen3",)


def server_scores(
    server: Server, query: str, documents: list[str], prompts: LlamaTokenizer, most: int, keys: GgufKeys
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


def pair_notes(keys: GgufKeys) -> list[str]:
    """Return what llama.cpp computes otherwise than the original for a pair of a WordPiece model, such as BERT.

    It adds the first row of the token type embeddings to query and document alike (src/models/bert.cpp), as its batches
    carry no token types. Its server leaves out the last [SEP], unless the file asks for an end token.
    """
    if keys.values.get("tokenizer.ggml.model") != "bert":
        return []
    exact = "The Transformers loader computes them exactly from the model's folder."
    types = keys.values.get("tokenizer.ggml.token_type_count", 1)
    if isinstance(types, int) and types > 1:
        return [
            (
                "llama.cpp reads query and document of this model as one segment, which it was not trained for, so its "
                f"scores may sort documents wrongly. {exact}"
            )
        ]
    if keys.values.get("tokenizer.ggml.add_eos_token"):
        return []
    return [
        (
            "llama.cpp leaves out the last [SEP] behind a document, so the scores of this model differ from the "
            f"original's. {exact}"
        )
    ]


def _beginning(text: str, most: int, count: Callable[[str], int]) -> str:
    """Return as much of the beginning of `text` as has at most `most` tokens."""
    while (tokens := count(text)) > most:
        text = text[: int(len(text) * most / tokens * _SHORTER)]
    return text
