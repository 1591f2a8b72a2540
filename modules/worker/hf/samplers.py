"""Samplers without state: functions from logits to logits.

Each takes and returns float32 logits of shape [vocabulary]. Tokens that are cut off get -inf, and at least the
likeliest token always stays. Docstrings name the source of each definition.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CUT = float("-inf")
# This many of the likeliest tokens nearly always reach the requested mass. Otherwise the whole vocabulary is sorted.
_FIRST_LOOK = 1024


def _keep_first(logits: Tensor, order: Tensor, count: int) -> Tensor:
    kept = torch.full_like(logits, CUT)
    chosen = order[: max(1, count)]
    kept[chosen] = logits[chosen]
    return kept


def _keep_where(logits: Tensor, keep: Tensor) -> Tensor:
    keep[logits.argmax()] = True
    return logits.masked_fill(~keep, CUT)


def temperature(logits: Tensor, value: float) -> Tensor:
    """Return logits / T (Ackley et al. 1985). T is above 0."""
    return logits / value


def dynamic_temperature(logits: Tensor, low: float, high: float, exponent: float) -> Tensor:
    """Apply T = low + (high - low) * (H / H_max)^exponent, where H is the entropy and H_max that of as many equally
    likely tokens (kalomaze's dynamic temperature, as in koboldcpp and llama.cpp's temp-ext). `low` and `high` may be in
    either order."""
    low, high = sorted((low, high))
    possible = int(torch.isfinite(logits).sum())
    if possible < 2:
        return logits
    entropy = float(torch.special.entr(logits.softmax(0)).sum()) / math.log(possible)
    return logits / (low + (high - low) * max(0.0, min(1.0, entropy)) ** exponent)


def quadratic(logits: Tensor, factor: float, curve: float) -> Tensor:
    """Return max - k x^2 + s x^3 with x = logit - max, k = factor (3 - curve) / 2, s = factor (curve - 1) / 2
    (kalomaze's quadratic sampling and its curve, as in koboldcpp)."""
    top = logits.max()
    x = logits - top
    smoothed = top - x.square() * (factor * (3 - curve) / 2) + x.pow(3) * (factor * (curve - 1) / 2)
    return torch.where(torch.isfinite(logits), smoothed, logits)


def top_k(logits: Tensor, count: int) -> Tensor:
    """Keep the `count` likeliest tokens (Fan et al. 2018, arXiv 1805.04833)."""
    count = min(count, logits.shape[0])
    best = logits.topk(count)
    kept = torch.full_like(logits, CUT)
    kept[best.indices] = best.values
    return kept


def top_p(logits: Tensor, mass: float) -> Tensor:
    """Keep the fewest likeliest tokens whose probabilities reach `mass` (nucleus sampling, arXiv 1904.09751)."""
    probabilities = logits.softmax(0)
    best = probabilities.topk(min(_FIRST_LOOK, logits.shape[0]))
    if float(best.values.sum()) < mass:
        best = probabilities.sort(descending=True)
    before = best.values.cumsum(0) - best.values
    return _keep_first(logits, best.indices, int((before < mass).sum()))


def min_p(logits: Tensor, share: float) -> Tensor:
    """Keep tokens at least `share` times as likely as the likeliest (arXiv 2407.01082)."""
    return logits.masked_fill(logits < logits.max() + math.log(share), CUT)


def top_a(logits: Tensor, factor: float) -> Tensor:
    """Keep tokens with p >= factor * p_max^2 (BlinkDL, RWKV-LM: top-a sampling)."""
    probabilities = logits.softmax(0)
    return _keep_where(logits, probabilities >= factor * probabilities.max().square())


def typical_p(logits: Tensor, mass: float) -> Tensor:
    """Keep the tokens whose surprise is nearest to the entropy, up to `mass` (locally typical, arXiv 2202.00666)."""
    logs = logits.log_softmax(0)
    probabilities = logs.exp()
    entropy = torch.special.entr(probabilities).sum()
    order = (-logs - entropy).abs().argsort()
    ordered = probabilities[order]
    before = ordered.cumsum(0) - ordered
    return _keep_first(logits, order, int((before < mass).sum()))


def epsilon_cutoff(logits: Tensor, least: float) -> Tensor:
    """Keep tokens with p >= `least`, a probability (Hewitt et al. 2022, arXiv 2210.15191)."""
    return _keep_where(logits, logits.softmax(0) >= least)


def eta_cutoff(logits: Tensor, epsilon: float) -> Tensor:
    """Keep tokens with p >= min(epsilon, sqrt(epsilon) exp(-entropy)) (Hewitt et al. 2022, arXiv 2210.15191)."""
    probabilities = logits.softmax(0)
    entropy = float(torch.special.entr(probabilities).sum())
    return _keep_where(logits, probabilities >= min(epsilon, math.sqrt(epsilon) * math.exp(-entropy)))


def tail_free(logits: Tensor, mass: float) -> Tensor:
    """Cut where the sum of the normalised absolute second differences of the sorted probabilities exceeds `mass`. The
    first token beyond is kept, which centres the cut (Phillips, "Tail Free Sampling", 2019)."""
    if logits.shape[0] < 3:
        return logits
    probabilities, order = logits.softmax(0).sort(descending=True)
    curvature = probabilities.diff().diff().abs()
    total = curvature.sum()
    if float(total) <= 0:
        return logits
    beyond = (curvature / total).cumsum(0) > mass
    count = int(beyond.int().argmax()) + 1 if bool(beyond.any()) else logits.shape[0] - 1
    return _keep_first(logits, order, count)


def top_n_sigma(logits: Tensor, count: float) -> Tensor:
    """Keep tokens whose logit is within `count` standard deviations of the highest (arXiv 2411.07641)."""
    finite = logits[torch.isfinite(logits)]
    return logits.masked_fill(logits < finite.max() - count * finite.std(correction=0), CUT)


def guidance(logits: Tensor, negative: Tensor, scale: float) -> Tensor:
    """Return n + scale (p - n): guidance on log-probabilities (Sanchez et al. 2023, arXiv 2306.17806)."""
    against = negative.log_softmax(0)
    return against + scale * (logits.log_softmax(0) - against)


def repetition_penalty(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Divide the logit of a seen token by `penalty` if it is positive, else multiply it (CTRL, arXiv 1909.05858).

    `seen`: bool, [vocabulary].
    """
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def encoder_repetition_penalty(logits: Tensor, prompted: Tensor, penalty: float) -> Tensor:
    """Apply the inverse of the repetition penalty to the prompt's tokens: above 1 favours them (Transformers'
    EncoderRepetitionPenaltyLogitsProcessor). `prompted`: bool, [vocabulary]."""
    return repetition_penalty(logits, prompted, 1 / penalty)


def frequency_penalty(logits: Tensor, counts: Tensor, penalty: float) -> Tensor:
    """Subtract `penalty` for each occurrence of a token (OpenAI's API). `counts`: float, [vocabulary]."""
    return logits - counts * penalty


def presence_penalty(logits: Tensor, counts: Tensor, penalty: float) -> Tensor:
    """Subtract `penalty` once from each token that occurred (OpenAI's API). `counts`: float, [vocabulary]."""
    return logits - (counts > 0) * penalty


def xtc(logits: Tensor, threshold: float, protected: Tensor) -> Tensor:
    """Exclude top choices: of the tokens with p >= `threshold`, keep only the least likely. If this would remove one of
    `protected` (end of text, line break), change nothing (p-e-w 2024, as in koboldcpp). The caller decides at random
    whether to call it.

    `protected`: int64 token ids.
    """
    probabilities = logits.softmax(0)
    top = torch.nonzero(probabilities >= threshold).squeeze(1)
    if top.shape[0] < 2:
        return logits
    removed = top[probabilities[top].argsort(descending=True, stable=True)][:-1]
    if bool(torch.isin(protected, removed).any()):
        return logits
    return logits.index_fill(0, removed, CUT)
