"""The cut-offs, worked out from their papers in float64. Logits in and out: [vocabulary], -inf for what is cut.

Written for the tests alone, and for being read beside the paper: no engine's code is asked, nothing is made fast.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


def probabilities(logits: Floats) -> Floats:
    """Softmax; what is cut has 0."""
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def entropy(p: Floats) -> float:
    """In nats; 0 log 0 is 0."""
    there = p[p > 0]
    return float(-(there * np.log(there)).sum())


def likeliest_first(p: Floats) -> NDArray[np.intp]:
    """Token ids by falling probability; ties by id."""
    return np.argsort(-p, kind="stable")


def only(logits: Floats, tokens: NDArray[np.intp] | NDArray[np.bool_]) -> Floats:
    """`logits` with all but `tokens` cut."""
    left = np.full_like(logits, -np.inf)
    left[tokens] = logits[tokens]
    return left


def reaching(p: Floats, order: NDArray[np.intp], mass: float) -> NDArray[np.intp]:
    """The shortest beginning of `order` whose probabilities add up to `mass`, and at least one token."""
    before = np.cumsum(p[order]) - p[order]
    return order[: max(1, int((before < mass).sum()))]


def top_k(logits: Floats, count: int) -> Floats:
    """The `count` likeliest tokens. Fan, Lewis, Dauphin 2018, arXiv 1805.04833."""
    return only(logits, likeliest_first(logits)[:count])


def top_p(logits: Floats, mass: float) -> Floats:
    """The smallest set of likeliest tokens that holds `mass`. Holtzman et al. 2019, arXiv 1904.09751."""
    p = probabilities(logits)
    return only(logits, reaching(p, likeliest_first(p), mass))


def min_p(logits: Floats, share: float) -> Floats:
    """p >= `share` times the highest p. Nguyen et al. 2024, arXiv 2407.01082."""
    p = probabilities(logits)
    # A rounding error of the quotient must not cost the likeliest token itself.
    return only(logits, p >= share * p.max() * (1 - 1e-12))


def typical_p(logits: Floats, mass: float) -> Floats:
    """Those whose surprise is nearest to the entropy, until they hold `mass`. Meister et al. 2022, arXiv
    2202.00666."""
    p = probabilities(logits)
    distance = np.full_like(p, np.inf)
    distance[p > 0] = np.abs(-np.log(p[p > 0]) - entropy(p))
    return only(logits, reaching(p, np.argsort(distance, kind="stable"), mass))


def top_n_sigma(logits: Floats, count: float) -> Floats:
    """Logits within `count` standard deviations of the highest. Tang et al. 2024, arXiv 2411.07641."""
    there = logits[np.isfinite(logits)]
    return only(logits, logits >= there.max() - count * there.std())


def tail_free(logits: Floats, mass: float) -> Floats:
    """Sorted probabilities up to where their normalised absolute second differences exceed `mass`; one more is kept,
    which centres the cut. Phillips 2019, trentbrick.github.io/Tail-Free-Sampling."""
    p = probabilities(logits)
    order = likeliest_first(p)
    bend = np.abs(np.diff(p[order], 2))
    if bend.sum() == 0:
        return logits
    return only(logits, order[: int((np.cumsum(bend / bend.sum()) <= mass).sum()) + 1])


def top_a(logits: Floats, factor: float) -> Floats:
    """p >= `factor` times the square of the highest p. BlinkDL, RWKV-LM, README: top-a."""
    p = probabilities(logits)
    return only(logits, (p >= factor * p.max() ** 2) | (p == p.max()))


def epsilon_cutoff(logits: Floats, least: float) -> Floats:
    """p >= `least`, or the likeliest. Hewitt, Manning, Liang 2022, arXiv 2210.15191."""
    p = probabilities(logits)
    return only(logits, (p >= least) | (p == p.max()))


def eta_cutoff(logits: Floats, epsilon: float) -> Floats:
    """p >= min(epsilon, sqrt(epsilon) exp(-entropy)), or the likeliest. Hewitt, Manning, Liang 2022, arXiv
    2210.15191."""
    p = probabilities(logits)
    least = min(epsilon, math.sqrt(epsilon) * math.exp(-entropy(p)))
    return only(logits, (p >= least) | (p == p.max()))


def xtc(logits: Floats, threshold: float, protected: tuple[int, ...]) -> Floats:
    """Of the tokens with p >= `threshold` the least likely alone stays, unless the end of the text or a line break
    would go (`protected`). xtc_probability says how often. p-e-w 2024, text-generation-webui pull request 6335."""
    p = probabilities(logits)
    removed = likeliest_first(p)[: max(0, int((p >= threshold).sum()) - 1)]
    if set(protected) & set(removed.tolist()):
        return logits
    left: Floats = logits.copy()
    left[removed] = -np.inf
    return left
