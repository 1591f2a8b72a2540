"""Every reply begins with words of the user's; the model goes on from them."""

from __future__ import annotations

from typing import Any


def bot_prefix_modifier(string: str, settings: Any) -> str:
    """What other extensions want first, then ours."""
    return f"{string}{settings.beginning}"
