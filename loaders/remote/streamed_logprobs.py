"""The log-probabilities of tokens in the events of a streamed answer, in the two shapes of OpenAI's API."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from modules.protocol.events import ReplyLogprob, TokenLogprob

# How servers write a token that is a part of a character.
_BYTES = re.compile(r"(?:\\x[0-9a-f]{2})+")
_PREFIX = "bytes:"
# The id of a token where the server does not say it.
_UNKNOWN = -1


def read_logprobs(choice: Mapping[str, Any], count: int) -> list[ReplyLogprob] | None:
    """Return the entries of events.Chunk.logprobs in a choice, each with `count` of the likeliest tokens; None if the
    server sends none. Raises KeyError, TypeError or ValueError for another shape."""
    found = choice.get("logprobs")
    if not isinstance(found, dict):
        return None
    if "content" in found:
        return [
            {**_entry(one), "top": [_entry(top) for top in (one.get("top_logprobs") or [])[:count]]}
            for one in found["content"] or []
        ]
    tokens, scores = found["tokens"], found["token_logprobs"]
    tops = found.get("top_logprobs") or [None] * len(tokens)
    return [
        {**_plain(token, score), "top": _by_text(top, count)}
        for token, score, top in zip(tokens, scores, tops, strict=True)
    ]


def _entry(one: Mapping[str, Any]) -> TokenLogprob:
    entry = _plain(one["token"], one["logprob"])
    if isinstance(one.get("bytes"), list):
        entry["bytes"] = [int(byte) for byte in one["bytes"]]
    if isinstance(one.get("id"), int):
        entry["token"] = one["id"]
    return entry


def _by_text(top: Mapping[str, float] | None, count: int) -> list[TokenLogprob]:
    ranked = sorted((top or {}).items(), key=lambda pair: -pair[1])
    return [_plain(text, score) for text, score in ranked[:count]]


def _plain(text: str, score: float | None) -> TokenLogprob:
    return {"token": _UNKNOWN, "bytes": list(_bytes(text)), "logprob": -math.inf if score is None else float(score)}


def _bytes(text: str) -> bytes:
    if text.startswith(_PREFIX) and _BYTES.fullmatch(code := text.removeprefix(_PREFIX)):
        return bytes.fromhex(code.replace("\\x", ""))
    return text.encode("utf-8", "replace")
