"""The log-probabilities of a prompt's tokens, for completions that echo the prompt."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modules.protocol.errors import PromptError
from modules.protocol.events import ScoreResult
from modules.runtime.loaded_model import LoadedModel

# Tokens that are scored at once. Their logits are in a file: 128 rows of a vocabulary of 150,000 take 77 MB.
_ROWS = 128
# Rows that are turned into 64-bit floats at once.
_BLOCK = 16

# (token, ln p), likeliest first.
_Ranked = list[tuple[int, float]]


def prompt_logprobs(model: LoadedModel, text: str, ids: list[int], top: int) -> list[dict[str, object]]:
    """Return an entry as in events.Chunk.logprobs for each token of a prompt; the first one may have the logprob None.

    `ids`: the token ids that the client sent, or []. A start token that the model adds is read and not listed.
    Raises PromptError, or Unsupported where the engine cannot score.
    """
    worker, info = model.worker(), model.loaded()
    tokens = worker.tokenize(text, True)
    if info.context and len(tokens) > info.context:
        raise PromptError(
            f"The prompt has {len(tokens)} tokens, and the context takes {info.context}. Shorten the prompt, or load "
            "the model with a larger context."
        )
    scores: list[tuple[float | None, _Ranked]] = [(None, [])]
    for first in range(1, len(tokens), _ROWS):
        part = tokens[: first + _ROWS]

        def read(file: Path, answer: ScoreResult, targets: list[int] = part[first:]) -> list[tuple[float, _Ranked]]:
            return _scores(file, answer, targets, top)

        scores += worker.score(part, first, read)
    skipped = _added(tokens, ids, text, info.bos, worker.token_bytes(tokens[:1]))
    listed = list(zip(tokens, scores, strict=False))[skipped:]
    known = {token for token, (_, ranked) in listed for token in (token, *(one for one, _ in ranked))}
    order = sorted(known)
    data = dict(zip(order, (list(one) for one in worker.token_bytes(order)), strict=True))
    return [
        {
            "token": token,
            "bytes": data[token],
            "logprob": score,
            "top": [{"token": one, "bytes": data[one], "logprob": other} for one, other in ranked],
        }
        for token, (score, ranked) in listed
    ]


def _added(tokens: list[int], ids: list[int], text: str, bos: str, first: list[bytes]) -> int:
    """Return how many tokens at the beginning the model added to the client's prompt."""
    if ids and tokens[-len(ids) :] == ids:
        return len(tokens) - len(ids)
    return int(bool(first and bos) and first[0] == bos.encode() and not text.startswith(bos))


def _scores(file: Path, answer: ScoreResult, targets: list[int], top: int) -> list[tuple[float, _Ranked]]:
    """Return ln p of each target, and the likeliest tokens in its place."""
    if (known := answer.get("log_probabilities")) is not None:
        return [(float(score), [(token, float(score))][:top]) for token, score in zip(targets, known, strict=False)]
    size = int(answer["vocabulary"])
    logits = np.memmap(file, dtype=np.float32, mode="r", shape=(len(targets), size))
    found: list[tuple[float, _Ranked]] = []
    for begin in range(0, len(targets), _BLOCK):
        rows = np.asarray(logits[begin : begin + _BLOCK], dtype=np.float64)
        rows -= rows.max(axis=1, keepdims=True)
        rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
        for row, token in zip(rows, targets[begin : begin + _BLOCK], strict=True):
            likeliest = np.argpartition(-row, min(top, size - 1))[:top]
            ranked = sorted(((int(one), float(row[one])) for one in likeliest), key=lambda pair: -pair[1])
            found.append((float(row[token]), ranked))
    return found
