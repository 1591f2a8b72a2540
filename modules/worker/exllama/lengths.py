"""Lengths in pages of the cache, and the split of a model over cards, from a loader's settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from modules.families.exllama import ExllamaSettings
from modules.protocol.errors import SettingError
from modules.protocol.schema import describe
from modules.worker.engine import Report

# Tokens in a page of the cache. All lengths are multiples of it.
PAGE = 256
_DEFAULT_CONTEXT = next(entry.default for entry in describe(ExllamaSettings) if entry.name == "context")


@dataclass(frozen=True)
class Lengths:
    """Lengths in tokens, multiples of a page. `cache`: of all replies, with room for drafts beyond the end."""

    context: int
    cache: int
    batch: int


def choose_lengths(settings: ExllamaSettings, trained: int, extra: int, *, extended: bool = False) -> Lengths:
    """Return the lengths to load with. `trained`: the trained context, 0 if unknown; `extended`: the settings stretch
    it. `extra`: tokens that the cache has beyond its contexts."""
    context = settings.context
    if trained and context == _DEFAULT_CONTEXT and not extended:
        context = min(context, trained)
    context = round_up_to_pages(context)
    return Lengths(
        context,
        max(context, round_up_to_pages(settings.cache_tokens)) + extra,
        min(round_up_to_pages(settings.batch), context),
    )


def context_note(context: int, trained: int, advice: str = "") -> list[str]:
    """Return a note where the context exceeds what the model was trained for. `advice`: completes the sentence."""
    if context <= trained:
        return []
    words = f"The context of {context} tokens exceeds the {trained} that this model was trained for. "
    return [f"{words}Quality drops beyond that{advice}."]


def round_up_to_pages(tokens: int) -> int:
    """Return `tokens`, rounded up to whole pages."""
    return math.ceil(tokens / PAGE) * PAGE


def parse_gpu_split(text: str) -> list[float] | None:
    """Parse '20, 22' as [20.0, 22.0]; None for an automatic split. Raises SettingError."""
    parts = [part for part in text.replace(";", ",").split(",") if part.strip()]
    try:
        split = [float(part) for part in parts]
    except ValueError:
        split = [-1.0]
    if any(not 0 <= part < 10_000 for part in split):
        raise SettingError(
            f"GPU split (gpu_split) cannot be {text!r}. Write one number of GB for each graphics card, such as 20, 22."
        )
    return split or None


def progress(report: Report, words: str) -> Callable[[int, int], None]:
    """Return the function that an engine calls with (done, total) while it loads."""
    return lambda done, total: report(words, done / total if total else None)
