"""Vectors from a server's /embeddings."""

from __future__ import annotations

from collections.abc import Sequence

from loaders.remote.http_client import HttpClient
from loaders.remote.server_errors import ServerError
from modules.protocol.errors import PaddockError, Unsupported


def embeddings(remote: HttpClient, model: str, inputs: Sequence[str | list[int]]) -> list[list[float]]:
    """Return a vector for each text or list of token ids. Raises ServerError, Unsupported, PaddockError."""
    try:
        answer = remote.post(f"{remote.file.api}/embeddings", {"model": model, "input": inputs})
        return [list(entry["embedding"]) for entry in sorted(answer["data"], key=lambda entry: entry["index"])]
    except ServerError as failure:
        if failure.status not in (404, 405, 501):
            raise
        raise Unsupported("This server makes no embeddings. Load a model of your own for that.") from None
    except (KeyError, TypeError):
        raise PaddockError(f"{remote.file.address} answered with no embeddings. Load a model of your own.") from None
