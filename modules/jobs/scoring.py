"""Scores of tokens from a worker: logits in a file, or the log-probabilities alone where an engine has only those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.jobs.divergence import log_probabilities
from modules.protocol.commands import Score
from modules.runtime.worker_client import WorkerClient

SCORE_SECONDS = 3600.0


@dataclass(frozen=True)
class Scores:
    """Scores of tokens[first:]. `vocabulary`: the width of the logits in the file.

    known: ln p of each scored token, where the engine wrote no file; it may count tokens otherwise.
    """

    vocabulary: int
    known: list[float] | None = None


def score(client: WorkerClient, tokens: Sequence[int], first: int, file: Path) -> Scores:
    """Let the engine score tokens[first:]. Raises Unsupported where it cannot."""
    answer = client.ask(Score(client.next_id(), list(tokens), first, str(file)), timeout=SCORE_SECONDS)
    return Scores(int(answer["vocabulary"]), answer.get("log_probabilities"))


def log_probability(client: WorkerClient, tokens: Sequence[int], first: int, file: Path) -> float:
    """Return Σ ln p(token | tokens before it) over tokens[first:]."""
    scores = score(client, tokens, first, file)
    if scores.known is not None:
        return sum(scores.known)
    return sum(log_probabilities(list(tokens[first:]), scores.vocabulary, file))
