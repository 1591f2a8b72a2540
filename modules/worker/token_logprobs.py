"""Entries of events.Chunk.logprobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from modules.protocol.events import ReplyLogprob, TokenLogprob


def logprob_entry(
    token: int, logprob: float, top: Iterable[tuple[int, float]], bytes_of: Callable[[int], bytes]
) -> ReplyLogprob:
    """Return the entry of a token. `top`: (token, ln p) of the likeliest; `bytes_of`: what a token adds to a text."""

    def plain(token: int, logprob: float) -> TokenLogprob:
        return {"token": token, "bytes": list(bytes_of(token)), "logprob": logprob}

    return {**plain(token, logprob), "top": [plain(*pair) for pair in top]}
