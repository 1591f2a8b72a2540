"""Which layers of a model are on which graphics card."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class CardLayers:
    """What one card holds: a number of layers (not always a whole one), and whether the head too."""

    layers: float = 0.0
    head: bool = False


def divide_evenly(layers: int, on_cards: int, shares: Sequence[float]) -> list[CardLayers]:
    """Return what each card holds of `on_cards` layers, by its share. With all layers the last card has the head."""
    last = max((number for number, share in enumerate(shares) if share), default=-1)
    parts = [on_cards * share / (sum(shares) or 1) for share in shares]
    return [CardLayers(part, number == last and on_cards == layers) for number, part in enumerate(parts)]


def place_as_llama_cpp(layers: int, on_cards: int, shares: Sequence[float]) -> list[CardLayers]:
    """Return what each card holds as llama.cpp places layers: whole, the last ones, and the head counts as the last.

    Source: `llama_model_base::load_tensors` in src/llama-model.cpp.
    """
    placed = min(on_cards, layers + 1)
    ends = [end / (sum(shares) or 1) for end in accumulate(shares)]
    found = [CardLayers() for _ in shares]
    for number in range(placed):
        card = min(bisect_right(ends, number / placed), len(shares) - 1)
        is_head = number == placed - 1
        found[card] = CardLayers(found[card].layers + (not is_head), found[card].head or is_head)
    return found


def most_fitting_layers(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number of layers on cards up to `most` that fits, 0 if none does.

    Fewer layers need not fit: they leave more in main memory, and several cards hold whole layers.
    """
    return next((count for count in range(most, 0, -1) if fits(count)), 0)
