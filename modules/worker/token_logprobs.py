"""Entries of events.Chunk.logprobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def logprob_entry(
    token: int, logprob: float, top: Iterable[tuple[int, float]], bytes_of: Callable[[int], bytes]
) -> dict[str, Any]:
    """Return the entry of a token. `top`: (token, ln p) of the likeliest; `bytes_of`: what a token adds to a text."""

    def plain(token: int, logprob: float) -> dict[str, Any]:
        return {"token": token, "bytes": list(bytes_of(token)), "logprob": logprob}

    return {**plain(token, logprob), "top": [plain(*pair) for pair in top]}
