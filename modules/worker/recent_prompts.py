"""Remembers the token ids of the latest prompts: a prompt is counted to fit the context, and read for the reply."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

# Prompts that wait for a slot of the engine are remembered too, up to this many.
_REMEMBERED = 8


def remember_prompts(tokenize: Callable[[str], list[int]]) -> Callable[[str], list[int]]:
    """Return `tokenize` with a memory of the latest texts. Each call returns a new list. Thread-safe."""

    @lru_cache(maxsize=_REMEMBERED)
    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenize(text))

    return lambda text: list(ids(text))
