"""Excludes the tokens that end a reply until the reply is long enough."""

from __future__ import annotations

from typing import Any


def logits_modifier(tokens: list[int], logits: Any, prompt_length: int, ends: list[int], settings: Any) -> None:
    """Set the logits of the ending tokens to minus infinity until the reply is long enough."""
    if len(tokens) - prompt_length < settings.least:
        for token in ends:
            logits[token] = float("-inf")
