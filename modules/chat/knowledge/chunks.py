"""Cuts a document into passages at the ends of paragraphs and sentences, and says where each one stands."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

# Words in a passage, at most.
WORDS = 120
# A passage ends in its last third where a paragraph, a line or a sentence ends there.
_EARLIEST = 2 / 3
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
_SPACE = re.compile(r"\s*")
_SENTENCE = re.compile(r"[.!?。！？]\s*")


class Chunk(NamedTuple):
    """A passage: `text[start:end]` of its document. `page`: from 1, 0 without pages. `line`: from 1."""

    start: int
    end: int
    page: int
    line: int


def split_document(text: str, pages: Sequence[int] = (), size: int = WORDS) -> list[Chunk]:
    """Return the passages of a text, of at most `size` words each, in their order.

    `pages`: where each page begins; no passage crosses the end of one.
    """
    words = [word.start() for word in _WORD.finditer(text)]
    found: list[Chunk] = []
    at, line, counted = 0, 1, 0
    while (first := bisect_left(words, at)) < len(words):
        start = _skip_space(text, at)
        last = first + size
        whole = last >= len(words)
        end = len(text) if whole else words[last]
        following = bisect_right(pages, start)
        if following < len(pages) and pages[following] < end:
            end, whole = pages[following], True
        if not whole:
            end = _break(text, words[first + max(1, int(size * _EARLIEST))], end)
        line += text.count("\n", counted, start)
        counted = start
        stop = start + len(text[start:end].rstrip())
        if stop > start:
            found.append(Chunk(start, stop, following, line))
        at = end
    return found


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _break(text: str, earliest: int, end: int) -> int:
    """Return the best place from `earliest` to `end` to cut the text: after a paragraph, a line or a sentence."""
    for mark in ("\n\n", "\n"):
        at = text.rfind(mark, earliest, end)
        if at >= 0:
            return at + len(mark)
    sentences = [match.end() for match in _SENTENCE.finditer(text, earliest, end) if match.end() <= end]
    return sentences[-1] if sentences else end
