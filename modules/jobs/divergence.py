"""Numbers from logits: perplexity, and how far a model's predictions moved from the original's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Rows of logits that are turned into 64-bit floats at once.
_BLOCK = 32
# A token counts as moved where its probability changed by more than this.
_MOVED = 0.10


@dataclass
class Totals:
    """Sums over the scored tokens. `compared`: tokens that an original's logits were there for."""

    tokens: int = 0
    negative_log_likelihood: float = 0.0
    not_numbers: int = 0
    compared: int = 0
    divergence: float = 0.0
    same_top: int = 0
    moved: int = 0

    def add_known(self, scores: list[float]) -> None:
        """Add tokens of which only ln p is known."""
        self.tokens += len(scores)
        self.not_numbers += sum(not np.isfinite(score) for score in scores)
        self.negative_log_likelihood -= sum(scores)

    def perplexity(self) -> float | None:
        """Return exp of the mean negative log-likelihood; None without tokens, or where logits are not numbers."""
        if not self.tokens or self.not_numbers:
            return None
        return float(np.exp(self.negative_log_likelihood / self.tokens))

    def describe(self) -> dict[str, object]:
        """Return the numbers, ready for JSON; those without an original are None."""
        share = 1 / self.compared if self.compared else None
        return {
            "perplexity": self.perplexity(),
            "tokens": self.tokens,
            "kl": self.divergence * share if share else None,
            "top1_agreement": self.same_top * share if share else None,
            "moved_share": self.moved * share if share else None,
        }


def add_window(totals: Totals, targets: list[int], vocabulary: int, file: Path, original: Path | None) -> None:
    """Add one window. `file`: logits, float32 [len(targets), vocabulary], of which row i predicts targets[i].

    `original`: the original's logits of the same window. The Kullback-Leibler divergence is Σ p ln(p/q) in nats, with p
    the original's probabilities, so it says how much the model's predictions lose of the original's. Where the two
    vocabularies have another padding at their ends, the entries that both have count.
    """
    ours = np.memmap(file, dtype=np.float32, mode="r", shape=(len(targets), vocabulary))
    theirs = _open(original, len(targets)) if original is not None else None
    for begin in range(0, len(targets), _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, len(targets)))
        picked = np.asarray(targets)[rows]
        logits = np.asarray(ours[rows], dtype=np.float64)
        totals.tokens += len(rows)
        if not np.isfinite(logits).all():
            totals.not_numbers += len(rows)
            continue
        log_q = _log_softmax(logits)
        place = np.arange(len(rows))
        totals.negative_log_likelihood -= float(log_q[place, picked].sum())
        if theirs is None:
            continue
        width = min(vocabulary, theirs.shape[1])
        log_p = _log_softmax(np.asarray(theirs[rows, :width], dtype=np.float64))
        log_q = _log_softmax(logits[:, :width])
        p = np.exp(log_p)
        totals.compared += len(rows)
        totals.divergence += float((p * (log_p - log_q)).sum())
        totals.same_top += int((log_p.argmax(1) == log_q.argmax(1)).sum())
        totals.moved += int((np.abs(p[place, picked] - np.exp(log_q[place, picked])) > _MOVED).sum())


def log_probabilities(targets: list[int], vocabulary: int, file: Path) -> list[float]:
    """Return ln p of each target. `file`: as for add_window. Logits that are not numbers give nan."""
    logits = np.memmap(file, dtype=np.float32, mode="r", shape=(len(targets), vocabulary))
    found: list[float] = []
    for begin in range(0, len(targets), _BLOCK):
        picked = np.asarray(targets[begin : begin + _BLOCK])
        rows = _log_softmax(np.asarray(logits[begin : begin + _BLOCK], dtype=np.float64))
        found += [float(value) for value in rows[np.arange(len(picked)), picked]]
    return found


def _open(file: Path, rows: int) -> NDArray[np.float32]:
    width = file.stat().st_size // (4 * rows)
    return np.memmap(file, dtype=np.float32, mode="r", shape=(rows, width))


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found
