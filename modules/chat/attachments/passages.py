"""Passages of documents, ranked by Okapi BM25 (Robertson and Zaragoza, 2009)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

_K1, _B = 1.5, 0.75
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")


class Ranked(NamedTuple):
    """A passage that was found: its place in the list that was ranked, and its score."""

    place: int
    score: float


def words_of(text: str) -> list[str]:
    """Return the lower-case words of a text. In scripts without spaces, each letter is a word."""
    return _WORD.findall(text.lower())


def split_passages(text: str, size: int) -> list[str]:
    """Return a text in passages of `size` words. Joined, they are the text without the space around it."""
    text = text.strip()
    starts = [0, *(word.start() for word in list(_WORD.finditer(text))[size::size])]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)] if text else []


class PassageRanking:
    """Ranks passages by the words that they share with a query. Immutable."""

    def __init__(self, passages: Sequence[str]) -> None:
        self._counts = [Counter(words_of(text)) for text in passages]
        self._lengths = [sum(counts.values()) for counts in self._counts]
        total = len(passages)
        self._average = sum(self._lengths) / total if total else 1.0
        holding = Counter(word for counts in self._counts for word in counts)
        # The inverse document frequency of each word.
        self._rarity = {word: math.log(1 + (total - n + 0.5) / (n + 0.5)) for word, n in holding.items()}

    def search(self, query: str) -> list[Ranked]:
        """Return the passages that share words with the query, best first."""
        wanted = set(words_of(query)) & self._rarity.keys()
        scored = (Ranked(place, self._score(wanted, place)) for place in range(len(self._counts)))
        return sorted((found for found in scored if found.score > 0), key=lambda found: -found.score)

    def _score(self, wanted: set[str], place: int) -> float:
        counts, length = self._counts[place], self._lengths[place] / (self._average or 1.0)
        return sum(
            self._rarity[word] * counts[word] * (_K1 + 1) / (counts[word] + _K1 * (1 - _B + _B * length))
            for word in wanted
            if word in counts
        )
