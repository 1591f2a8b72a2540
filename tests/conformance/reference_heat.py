"""Temperatures, guidance and penalties in float64. Logits in and out: [vocabulary], -inf for tokens that are cut."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from tests.conformance.reference_cuts import Floats, entropy, probabilities

# The longest repeat that DRY's author measures.
DRY_LONGEST = 50


def temperature(logits: Floats, value: float) -> Floats:
    """logits / T. Ackley, Hinton, Sejnowski 1985, "A learning algorithm for Boltzmann machines"."""
    return logits / value


def dynamic_temperature(logits: Floats, low: float, high: float, exponent: float, possible: int = 0) -> Floats:
    """logits / T with T = low + (high - low) (H / log n)^exponent; H: the entropy, n: the number of tokens that are not
    cut (`possible`). kalomaze 2023, text-generation-webui pull requests 5174 and 5209."""
    count = possible or int(np.isfinite(logits).sum())
    if count < 2:
        return logits
    low, high = sorted((low, high))
    share = entropy(probabilities(logits)) / math.log(count)
    return logits / (low + (high - low) * math.pow(share, exponent))


def quadratic(logits: Floats, factor: float, curve: float) -> Floats:
    """top - k x^2 + s x^3 with x = logit - top, k = factor (3 - curve) / 2, s = factor (curve - 1) / 2. kalomaze 2024,
    text-generation-webui pull requests 5403 (square) and 5551 (curve)."""
    there = np.isfinite(logits)
    bent: Floats = logits.copy()
    x = logits[there] - logits.max()
    bent[there] = logits.max() - factor * (3 - curve) / 2 * x**2 + factor * (curve - 1) / 2 * x**3
    return bent


def guidance(logits: Floats, negative: Floats, scale: float) -> Floats:
    """n + scale (p - n) on log-probabilities. Sanchez et al. 2023, arXiv 2306.17806."""
    against = np.log(probabilities(negative))
    return np.asarray(against + scale * (np.log(probabilities(logits)) - against))


def repetition_penalty(logits: Floats, seen: list[int], penalty: float) -> Floats:
    """The logit of a seen token is divided by the penalty if it is positive, else multiplied. Keskar et al. 2019, arXiv
    1909.05858, section
    4.1; the sign as in Transformers' RepetitionPenaltyLogitsProcessor."""
    left: Floats = logits.copy()
    for token in set(seen):
        left[token] = left[token] / penalty if left[token] > 0 else left[token] * penalty
    return left


def encoder_repetition_penalty(logits: Floats, prompt: list[int], penalty: float) -> Floats:
    """The inverse of the repetition penalty, for the prompt's tokens: Transformers' class
    EncoderRepetitionPenaltyLogitsProcessor."""
    return repetition_penalty(logits, prompt, 1 / penalty)


def frequency_penalty(logits: Floats, seen: list[int], penalty: float) -> Floats:
    """`penalty` is subtracted for each occurrence. OpenAI, API reference: frequency_penalty."""
    left: Floats = logits.copy()
    for token, count in Counter(seen).items():
        left[token] -= penalty * count
    return left


def presence_penalty(logits: Floats, seen: list[int], penalty: float) -> Floats:
    """`penalty` is subtracted once from each token that occurred. OpenAI, API reference: presence_penalty."""
    left: Floats = logits.copy()
    left[list(set(seen))] -= penalty
    return left


def no_repeat_ngram(logits: Floats, text: list[int], size: int) -> Floats:
    """Cut tokens that would complete a sequence of `size` tokens that the text already contains. Paulus, Xiong, Socher
    2017, arXiv
    1705.04304, section 2.5."""
    left: Floats = logits.copy()
    beginning = text[len(text) - size + 1 :]
    for at in range(len(text) - size + 1):
        if text[at : at + size - 1] == beginning:
            left[text[at + size - 1]] = -np.inf
    return left


def dry(
    logits: Floats,
    text: list[int],
    multiplier: float,
    base: float,
    allowed: int,
    breakers: set[int],
    longest: int = DRY_LONGEST,
) -> Floats:
    """For a token that would extend a repeat of n >= `allowed` tokens, subtract multiplier base^(n - allowed), where n
    is the length of its longest repeat. Repeats contain no breaker, and breakers are not penalized. p-e-w 2024,
    text-generation-webui pull requests 5677 and 6053."""
    repeats: dict[int, int] = {}
    for end in range(len(text) - 1):
        length = 0
        while (
            length < min(longest, end + 1)
            and text[end - length] == text[-1 - length]
            and text[end - length] not in breakers
        ):
            length += 1
        repeats[text[end + 1]] = max(length, repeats.get(text[end + 1], 0))
    left: Floats = logits.copy()
    for token, length in repeats.items():
        if length >= allowed and length and token not in breakers:
            left[token] -= multiplier * math.pow(base, length - allowed)
    return left
