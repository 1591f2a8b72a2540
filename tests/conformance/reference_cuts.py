"""The cut-offs in float64, written from their papers. Logits in and out: [vocabulary], -inf for tokens that are cut.

Only tests use this code. It is meant to be compared with the papers: it uses no engine's code and is not optimised.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


def probabilities(logits: Floats) -> Floats:
    """Return the softmax. Tokens that are cut have 0."""
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def entropy(p: Floats) -> float:
    """Return the entropy in nats, with 0 log 0 = 0."""
    there = p[p > 0]
    return float(-(there * np.log(there)).sum())


def likeliest_first(p: Floats) -> NDArray[np.intp]:
    """Return token ids by falling probability, ties by id."""
    return np.argsort(-p, kind="stable")


def only(logits: Floats, tokens: NDArray[np.intp] | NDArray[np.bool_]) -> Floats:
    """Return `logits` with all tokens but `tokens` cut."""
    left = np.full_like(logits, -np.inf)
    left[tokens] = logits[tokens]
    return left


def reaching(p: Floats, order: NDArray[np.intp], mass: float) -> NDArray[np.intp]:
    """Return the shortest beginning of `order` whose probabilities reach `mass`, at least one token."""
    before = np.cumsum(p[order]) - p[order]
    return order[: max(1, int((before < mass).sum()))]


def top_k(logits: Floats, count: int) -> Floats:
    """Keep the `count` likeliest tokens. Fan, Lewis, Dauphin 2018, arXiv 1805.04833."""
    return only(logits, likeliest_first(logits)[:count])


def top_p(logits: Floats, mass: float) -> Floats:
    """Keep the fewest likeliest tokens whose probabilities reach `mass`. Holtzman et al. 2019, arXiv 1904.09751."""
    p = probabilities(logits)
    return only(logits, reaching(p, likeliest_first(p), mass))


def min_p(logits: Floats, share: float) -> Floats:
    """Keep tokens with p >= `share` times the highest p. Nguyen et al. 2024, arXiv 2407.01082."""
    p = probabilities(logits)
    # A rounding error of the quotient must not remove the likeliest token.
    return only(logits, p >= share * p.max() * (1 - 1e-12))


def typical_p(logits: Floats, mass: float) -> Floats:
    """Keep the tokens whose surprise is nearest to the entropy, until they reach `mass`. Meister et al. 2022, arXiv
    2202.00666."""
    p = probabilities(logits)
    distance = np.full_like(p, np.inf)
    distance[p > 0] = np.abs(-np.log(p[p > 0]) - entropy(p))
    return only(logits, reaching(p, np.argsort(distance, kind="stable"), mass))


def top_n_sigma(logits: Floats, count: float) -> Floats:
    """Keep tokens whose logit is within `count` standard deviations of the highest. Tang et al. 2024, arXiv
    2411.07641."""
    there = logits[np.isfinite(logits)]
    return only(logits, logits >= there.max() - count * there.std())


def tail_free(logits: Floats, mass: float) -> Floats:
    """Keep the likeliest tokens up to the point where the sum of the normalised absolute second differences of their
    probabilities exceeds `mass`, and one more, which centres the cut. Phillips 2019,
    trentbrick.github.io/Tail-Free-Sampling."""
    p = probabilities(logits)
    order = likeliest_first(p)
    bend = np.abs(np.diff(p[order], 2))
    if bend.sum() == 0:
        return logits
    return only(logits, order[: int((np.cumsum(bend / bend.sum()) <= mass).sum()) + 1])


def top_a(logits: Floats, factor: float) -> Floats:
    """Keep tokens with p >= `factor` times the square of the highest p. BlinkDL, RWKV-LM, README: top-a."""
    p = probabilities(logits)
    return only(logits, (p >= factor * p.max() ** 2) | (p == p.max()))


def epsilon_cutoff(logits: Floats, least: float) -> Floats:
    """Keep tokens with p >= `least`, and the likeliest. Hewitt, Manning, Liang 2022, arXiv 2210.15191."""
    p = probabilities(logits)
    return only(logits, (p >= least) | (p == p.max()))


def eta_cutoff(logits: Floats, epsilon: float) -> Floats:
    """Keep tokens with p >= min(epsilon, sqrt(epsilon) exp(-entropy)), and the likeliest. Hewitt, Manning, Liang 2022,
    arXiv
    2210.15191."""
    p = probabilities(logits)
    least = min(epsilon, math.sqrt(epsilon) * math.exp(-entropy(p)))
    return only(logits, (p >= least) | (p == p.max()))


def xtc(logits: Floats, threshold: float, protected: tuple[int, ...]) -> Floats:
    """Of the tokens with p >= `threshold`, keep only the least likely, unless this would remove the end of the text or
    a line break (`protected`). xtc_probability is how often this happens. p-e-w 2024, text-generation-webui pull
    request 6335."""
    p = probabilities(logits)
    removed = likeliest_first(p)[: max(0, int((p >= threshold).sum()) - 1)]
    if set(protected) & set(removed.tolist()):
        return logits
    left: Floats = logits.copy()
    left[removed] = -np.inf
    return left
