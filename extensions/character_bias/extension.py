"""Starts every reply with a text of the user's choice. The model continues from it."""

from __future__ import annotations

from typing import Any


def bot_prefix_modifier(string: str, settings: Any) -> str:
    """Append the user's text to the start that other extensions chose."""
    return f"{string}{settings.beginning}"
