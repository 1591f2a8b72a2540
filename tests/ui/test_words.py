"""Numbers as people read them."""

from __future__ import annotations

from typing import Any

import pytest

from modules.ui.words import figures, listed_model


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"generated_tokens": 1}, "1 token"),
        ({"generated_tokens": 1200}, "1,200 tokens"),
        ({"generated_tokens": 2, "cut_tokens": 1}, "2 tokens · 1 oldest token left out"),
        ({"generated_tokens": 2, "decode_seconds": 0.5, "reason": "length"}, "4.0 tokens/s · 2 tokens · longest reply"),
        ({}, ""),
    ],
)
def test_the_line_under_a_reply(meta: dict[str, Any], words: str) -> None:
    assert figures(meta).startswith(words)


def test_a_model_in_a_list_says_what_it_is_for_where_that_is_no_chat() -> None:
    assert listed_model("a", "generate") == listed_model("a", "") == "a"
    assert listed_model("a", "embed") == "a (embeddings)"
