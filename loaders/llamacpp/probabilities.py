"""Probabilities of tokens, from the latest logits of a context."""

from __future__ import annotations

import importlib

from loaders.llamacpp.native import NativeModel
from modules.protocol.events import ReplyLogprob, TokenProbability
from modules.worker.token_logprobs import logprob_entry


def likeliest_tokens(native: NativeModel, top: int) -> list[TokenProbability]:
    """Return the `top` likeliest next tokens, the likeliest first."""
    numpy = importlib.import_module("numpy")
    logits = native.logits().astype("float64")
    weights = numpy.exp(logits - logits.max())
    probabilities = weights / weights.sum()
    return [
        {
            "token": int(token),
            "text": native.piece(int(token), True).decode("utf-8", "replace"),
            "probability": float(probabilities[token]),
        }
        for token in numpy.argsort(-probabilities, kind="stable")[:top]
    ]


def reply_logprob(native: NativeModel, row: int, token: int, count: int) -> ReplyLogprob:
    """Return an entry of Chunk.logprobs for the token that was drawn from the logits of a row, as in `logits`."""
    numpy = importlib.import_module("numpy")
    logits = native.logits(row).astype("float64")
    scores = logits - logits.max()
    scores -= numpy.log(numpy.exp(scores).sum())
    top = [(int(one), float(scores[one])) for one in numpy.argsort(-scores, kind="stable")[:count]]
    return logprob_entry(token, float(scores[token]), top, lambda one: bytes(native.piece(one, True)))
