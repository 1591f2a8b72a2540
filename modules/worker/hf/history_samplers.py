"""Samplers that depend on earlier tokens, or on how surprising the chosen tokens were."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

from modules.worker.hf.samplers import CUT

# Longer repeats get the penalty of this length, which already exceeds every logit by far.
_LONGEST_REPEAT = 50


class History:
    """The tokens of prompt and reply so far, and how often each occurs in the last `reach` of them (0: in all).

    `counts`: float32, [vocabulary]; `prompted`: bool, [vocabulary], the tokens of the prompt.
    """

    def __init__(self, prompt: list[int], vocabulary: int, device: torch.device, reach: int = 0) -> None:
        self.tokens = list(prompt)
        self.reach = reach
        self.counts = torch.zeros(vocabulary, device=device)
        recent = torch.tensor(self.recent(), dtype=torch.long, device=device)
        self.counts.index_add_(0, recent, torch.ones(len(recent), device=device))
        self.prompted = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self.prompted[torch.tensor(prompt, dtype=torch.long, device=device)] = True

    def recent(self) -> list[int]:
        """Return the tokens within `reach`."""
        return self.tokens[-self.reach :] if self.reach else self.tokens

    def add(self, token: int) -> None:
        """Add a chosen token. Tokens beyond `reach` are no longer counted."""
        self.tokens.append(token)
        self.counts[token] += 1
        if self.reach and len(self.tokens) > self.reach:
            self.counts[self.tokens[-self.reach - 1]] -= 1


def dry(logits: Tensor, tokens: list[int], multiplier: float, base: float, allowed: int, breakers: set[int]) -> Tensor:
    """Lower the logit of each token that would continue a repeat of n >= `allowed` tokens by multiplier * base^(n -
    allowed) ("don't repeat yourself", p-e-w 2024). Repeats do not extend across `breakers`, which are never
    penalized."""
    if not tokens or tokens[-1] in breakers:
        return logits
    end = len(tokens) - 1
    longest: dict[int, int] = {}
    for at in _places(tokens, tokens[-1]):
        length = 1
        while (
            length < _LONGEST_REPEAT
            and length <= at
            and tokens[at - length] == tokens[end - length]
            and tokens[at - length] not in breakers
        ):
            length += 1
        following = tokens[at + 1]
        if following in breakers:
            continue
        longest[following] = max(longest.get(following, 0), length)
    punished = {token: length for token, length in longest.items() if length >= allowed}
    if not punished:
        return logits
    logits = logits.clone()
    for token, length in punished.items():
        logits[token] -= multiplier * base ** (length - allowed)
    return logits


def _places(tokens: list[int], token: int) -> Iterable[int]:
    """Return the positions of `token`, except the last position."""
    at = -1
    try:
        while True:
            at = tokens.index(token, at + 1, len(tokens) - 1)
            yield at
    except ValueError:
        return


class NoRepeat:
    """Prevents any sequence of `size` tokens from occurring twice (Paulus et al. 2017, arXiv 1705.04304)."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._read = 0
        self._followers: dict[tuple[int, ...], list[int]] = defaultdict(list)

    def __call__(self, logits: Tensor, tokens: list[int]) -> Tensor:
        for end in range(max(self._read, self._size - 1), len(tokens)):
            self._followers[tuple(tokens[end - self._size + 1 : end])].append(tokens[end])
        self._read = len(tokens)
        beginning = tuple(tokens[len(tokens) - self._size + 1 :])
        banned = self._followers.get(beginning) if len(beginning) == self._size - 1 else None
        if not banned:
            return logits
        return logits.index_fill(0, torch.tensor(banned, device=logits.device), CUT)


class Mirostat:
    """Keeps the surprise of the chosen tokens near tau, in bits (Basu et al. 2020, arXiv 2007.14966).

    Version 2 cuts tokens more surprising than mu. Version 1 estimates Zipf's exponent from the `TOP` likeliest tokens
    and takes the top-k that gives mu. As in llama.cpp, mu begins at 2 tau and moves by eta times the error.
    """

    TOP = 100

    def __init__(self, version: int, tau: float, eta: float) -> None:
        self._version, self._tau, self._eta = version, tau, eta
        self.mu = 2 * tau
        self._logs: Tensor | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        bits = -logits.log_softmax(0) / math.log(2)
        if self._version == 2:
            keep = bits <= self.mu
            keep[logits.argmax()] = True
            logits = logits.masked_fill(~keep, CUT)
        else:
            count = self._zipf_count(bits, int(torch.isfinite(logits).sum()))
            best = logits.topk(min(count, logits.shape[0]))
            logits = torch.full_like(logits, CUT)
            logits[best.indices] = best.values
        self._logs = logits.log_softmax(0)
        return logits

    def chosen(self, token: int) -> None:
        """Learn from the token that was drawn."""
        if self._logs is not None:
            self.mu -= self._eta * (-float(self._logs[token]) / math.log(2) - self._tau)

    def _zipf_count(self, bits: Tensor, possible: int) -> int:
        top = bits.topk(min(self.TOP, possible), largest=False).values.double()
        ranks = torch.arange(1, len(top), dtype=torch.float64, device=top.device)
        steps = ((ranks + 1) / ranks).log()
        squares = float(steps.square().sum())
        exponent = float((steps * top.diff() * math.log(2)).sum()) / squares if squares else 0.0
        epsilon = exponent - 1
        if abs(epsilon) < 1e-9 or exponent <= 0:
            return possible
        inside = epsilon * 2**self.mu / (1 - len(bits) ** -epsilon)
        try:
            return max(1, min(possible, int(inside ** (1 / exponent))))
        except OverflowError:
            return possible


class AdaptiveP:
    """Prefers tokens near the probability that keeps the mean of the chosen ones at `target` (llama.cpp, adaptive-p).

    The mean of past probabilities is weighted by decay^age and begins at the target. The aim is 2 target - mean. A
    token's new logit is 5 - 10 d^2 / (1 + d), where d is the distance of its probability from the aim divided by 0.3.
    """

    PEAK, SHARPNESS, WIDTH = 5.0, 10.0, 0.3

    def __init__(self, target: float, decay: float) -> None:
        self._target = target
        self._decay = min(decay, 0.99)
        self._sum = target / (1 - self._decay)
        self._weight = 1 / (1 - self._decay)
        self._probabilities: Tensor | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        self._probabilities = logits.softmax(0)
        aim = min(1.0, max(0.0, 2 * self._target - self._sum / self._weight))
        distance = (self._probabilities - aim).abs() / self.WIDTH
        shaped = self.PEAK - self.SHARPNESS * distance.square() / (1 + distance)
        return torch.where(torch.isfinite(logits), shaped, logits)

    def chosen(self, token: int) -> None:
        """Learn from the token that was drawn."""
        if self._probabilities is not None:
            self._sum = float(self._probabilities[token]) + self._decay * self._sum
            self._weight = 1 + self._decay * self._weight
