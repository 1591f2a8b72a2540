"""POST /v1/embeddings: a vector for each text, as in OpenAI's API."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from modules.api.body_fields import is_token_ids, whole_field
from modules.protocol.errors import PromptError, SettingError
from modules.runtime.loaded_model import LoadedModel

# As in OpenAI's API.
_MOST_INPUTS = 2048
# Sent to the worker at once. Between two batches other requests get their turn, and a client may hang up.
_BATCH = 8
_ENCODINGS = ("float", "base64")

Input = str | list[int]


@dataclass(frozen=True)
class EmbeddingRequest:
    """What a client asks for. `dimensions`: numbers of each vector, 0 for all of the model's."""

    inputs: list[Input]
    base64: bool
    dimensions: int


def read_embedding_request(body: Mapping[str, object]) -> EmbeddingRequest:
    """Return the request in a body. Raises PromptError or SettingError."""
    encoding = body.get("encoding_format") or "float"
    if encoding not in _ENCODINGS:
        raise SettingError(f"'encoding_format' must be one of {', '.join(_ENCODINGS)}.")
    dimensions = whole_field(body, "dimensions", 0, 1, 2**20)
    return EmbeddingRequest(_inputs(body.get("input")), encoding == "base64", dimensions)


async def embed(model: LoadedModel, asked: EmbeddingRequest, request: Request) -> dict[str, object]:
    """Return the answer to a request. If the client hangs up, the rest is not embedded. Raises PaddockError."""
    name = model.state.model
    vectors: list[list[float]] = []
    tokens = 0
    for start in range(0, len(asked.inputs), _BATCH):
        if start and await request.is_disconnected():
            break
        part, count = await run_in_threadpool(model.embed, asked.inputs[start : start + _BATCH])
        vectors += part
        tokens += count
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(_shortened(vector, asked.dimensions), asked)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": name, "usage": usage}


def _inputs(value: Any) -> list[Input]:
    """Return the texts or token ids of `input`: one text, one list of ids, or a list of either."""
    inputs: list[Any] = [value] if isinstance(value, str) or is_token_ids(value) else value
    if not isinstance(inputs, list) or not inputs:
        raise PromptError("'input' must be a text, a list of texts, a list of token ids, or a list of such lists.")
    if len(inputs) > _MOST_INPUTS:
        raise PromptError(
            f"'input' has {len(inputs)} entries; at most {_MOST_INPUTS} go at once. Send several requests."
        )
    for place, one in enumerate(inputs):
        if not (isinstance(one, str) and one) and not is_token_ids(one):
            raise PromptError(f"Entry {place} of 'input' must be a text or a list of token ids, and must not be empty.")
    return inputs


def _shortened(vector: list[float], dimensions: int) -> list[float]:
    """Return the first `dimensions` numbers, scaled to length 1 again. Raises SettingError if there are fewer."""
    if not dimensions or dimensions == len(vector):
        return vector
    if dimensions > len(vector):
        raise SettingError(f"'dimensions' cannot be {dimensions}: this model's vectors have {len(vector)} numbers.")
    first = vector[:dimensions]
    length = math.sqrt(math.fsum(value * value for value in first)) or 1.0
    return [value / length for value in first]


def _encoded(vector: list[float], asked: EmbeddingRequest) -> list[float] | str:
    """Return the numbers, or base64 of 32-bit floats, little-endian."""
    if not asked.base64:
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
