"""Joins rankings of passages by reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

_K = 60


def fuse(rankings: Iterable[Sequence[int]], most: int) -> list[int]:
    """Return the passages of several rankings, each best first, as one ranking of at most `most`.

    A passage counts 1 / (60 + its rank) in each ranking that has it, so no scores have to be compared.
    """
    scores: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, passage in enumerate(ranking, 1):
            scores[passage] += 1 / (_K + rank)
    return sorted(scores, key=lambda passage: (-scores[passage], passage))[:most]
