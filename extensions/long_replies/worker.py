"""Takes the tokens that end a reply out of the choice until it is long enough."""

from __future__ import annotations

from typing import Any


def logits_modifier(tokens: list[int], logits: Any, prompt_length: int, ends: list[int], settings: Any) -> None:
    """Until then, the end is as unlikely as can be."""
    if len(tokens) - prompt_length < settings.least:
        for token in ends:
            logits[token] = float("-inf")
