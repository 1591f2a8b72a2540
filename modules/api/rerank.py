"""POST /v1/rerank: documents sorted by how well they answer a query, in the shape of Cohere's and Jina's API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from modules.api.body_fields import text_field, whole_field
from modules.protocol.errors import PromptError, SettingError
from modules.runtime.loaded_model import LoadedModel

# As in Jina's API.
MOST_DOCUMENTS = 2048
# Sent to the worker at once. Between two batches other requests get their turn, and a client may hang up.
_BATCH = 8


@dataclass(frozen=True)
class RerankRequest:
    """What a client asks for. `most`: how many results; `texts`: whether they contain the documents."""

    query: str
    documents: list[str]
    most: int
    texts: bool


def read_rerank_request(body: Mapping[str, object]) -> RerankRequest:
    """Return the request in a body. Raises PromptError or SettingError."""
    query = text_field(body, "query")
    if not query.strip():
        raise PromptError("'query' is empty. Write what the documents are to answer.")
    documents = _documents(body.get("documents"))
    most = whole_field(body, "top_n", len(documents), 1, 2**31)
    texts = body.get("return_documents")
    if not isinstance(texts, bool | None):
        raise SettingError("'return_documents' must be true or false.")
    return RerankRequest(query, documents, most, bool(texts))


async def rerank_documents(
    model: LoadedModel, asked: RerankRequest, request: Request
) -> tuple[dict[str, object], list[str]]:
    """Return the answer to a request, and sentences about it. If the client hangs up, the rest is not scored. Raises
    PaddockError."""
    name = model.state.model
    scores: list[float] = []
    tokens = cut = 0
    for start in range(0, len(asked.documents), _BATCH):
        if start and await request.is_disconnected():
            break
        found = await run_in_threadpool(model.rerank, asked.query, asked.documents[start : start + _BATCH])
        scores += found.scores
        tokens += found.tokens
        cut += len(found.cut)
    best = sorted(range(len(scores)), key=lambda place: -scores[place])[: asked.most]
    results = [
        {
            "index": place,
            "relevance_score": scores[place],
            **({"document": {"text": asked.documents[place]}} if asked.texts else {}),
        }
        for place in best
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer: dict[str, object] = {"object": "list", "model": name, "results": results, "usage": usage}
    return answer, [_cut_note(cut, len(asked.documents))] if cut else []


def _cut_note(cut: int, count: int) -> str:
    return f"{cut} of {count} documents are longer than the model reads. Only their beginning was scored."


def _documents(value: object) -> list[str]:
    if not isinstance(value, list) or not value:
        raise PromptError("'documents' must be a list of texts with at least one text.")
    if len(value) > MOST_DOCUMENTS:
        raise PromptError(
            f"'documents' has {len(value)} entries; at most {MOST_DOCUMENTS} go at once. Send several requests."
        )
    texts = [one.get("text") if isinstance(one, dict) else one for one in value]
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise PromptError(f"Entry {place} of 'documents' must be a text, or an object with the field 'text'.")
    return [text for text in texts if isinstance(text, str)]
