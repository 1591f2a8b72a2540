"""Vectors from llama.cpp's server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.protocol.errors import PaddockError
from modules.worker.embeddings import too_long_error, unknown_token_error

if TYPE_CHECKING:
    from xllamacpp import Server


def server_embeddings(server: Server, inputs: list[list[int]], most: int, remedy: str) -> list[list[float]]:
    """Return a vector for each list of token ids. The server takes at most `most` tokens at once: one micro-batch.
    `remedy`: what to do about a longer input.

    Raises PromptError or PaddockError.
    """
    if (longest := max(map(len, inputs))) > most:
        raise too_long_error(longest, most, remedy)
    answer = server.handle_embeddings({"input": inputs})
    if "data" in answer:
        return [list(entry["embedding"]) for entry in sorted(answer["data"], key=lambda entry: entry["index"])]
    message = str(answer.get("error", answer))
    if "invalid tokens" in message:
        raise unknown_token_error()
    raise PaddockError(f"llama.cpp cannot embed these texts: {message}. Shorten them.", detail=message)
