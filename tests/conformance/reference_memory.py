"""Samplers that learn from drawn tokens, in float64. Logits in and out: [vocabulary], -inf for tokens that are cut."""

from __future__ import annotations

import math

import numpy as np

from tests.conformance.reference_cuts import Floats, only, probabilities, top_k


class Mirostat:
    """Keeps the surprise near `tau` bits: mu begins at 2 tau and falls by eta (surprise - tau) with each token. Version
    1 takes the top-k that gives mu by Zipf's law. Version 2 cuts tokens more surprising than mu. Basu et al. 2020,
    arXiv 2007.14966."""

    # The number of tokens from which Zipf's exponent is estimated: m in algorithm 1.
    ESTIMATED_FROM = 100

    def __init__(self, version: int, tau: float, eta: float) -> None:
        self._version, self._tau, self._eta, self._mu = version, tau, eta, 2 * tau
        self._left = np.zeros(0)

    def __call__(self, logits: Floats) -> Floats:
        p = probabilities(logits)
        if self._version == 2:
            left = only(logits, (p >= 2.0**-self._mu) | (p == p.max()))
        else:
            left = top_k(logits, self._count(p))
        self._left = probabilities(left)
        return left

    def learn(self, token: int) -> None:
        """`token` was drawn."""
        self._mu -= self._eta * (-math.log2(self._left[token]) - self._tau)

    def _count(self, p: Floats) -> int:
        line = np.sort(p[p > 0])[::-1][: self.ESTIMATED_FROM]
        ranks = np.arange(1, len(line))
        t, b = np.log((ranks + 1) / ranks), np.log(line[:-1] / line[1:])
        s = float((t * b).sum() / (t * t).sum())
        k = ((s - 1) * 2**self._mu / (1 - float(len(p)) ** (1 - s))) ** (1 / s)
        return max(1, min(int(k), len(p)))


class AdaptiveP:
    """Draws from the logits 5 - 10 d^2 / (1 + d). d: |p - aim| / 0.3; aim: 2 target - the mean of the p drawn so far,
    weighted by decay^age, which begins at the target. llama.cpp, src/llama-sampler.cpp, adaptive-p (pull request
    17927)."""

    def __init__(self, target: float, decay: float) -> None:
        decay = min(decay, 0.99)
        self._target, self._decay = target, decay
        self._sum, self._weight = target / (1 - decay), 1 / (1 - decay)
        self._p = np.zeros(0)

    def __call__(self, logits: Floats) -> Floats:
        self._p = probabilities(logits)
        aim = min(1.0, max(0.0, 2 * self._target - self._sum / self._weight))
        d = np.abs(self._p - aim) / 0.3
        return np.where(np.isfinite(logits), 5 - 10 * d**2 / (1 + d), -np.inf)

    def learn(self, token: int) -> None:
        """`token` was drawn."""
        self._sum = self._p[token] + self._decay * self._sum
        self._weight = 1 + self._decay * self._weight
