"""Numbers and labels as people read them."""

from __future__ import annotations

from typing import Any

import pytest

from modules.ui.number_format import finish_reason, model_label, origin, statistics


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"generated_tokens": 1}, "1 token"),
        ({"generated_tokens": 1200}, "1,200 tokens"),
        ({"generated_tokens": 2, "decode_seconds": 0.5, "reason": "length"}, "4.0 tokens/s · 2 tokens"),
        ({}, ""),
    ],
)
def test_the_statistics_of_a_reply(meta: dict[str, Any], words: str) -> None:
    assert statistics(meta) == words


def test_the_tooltip_names_the_server_that_answered() -> None:
    meta = {"model": "far.remote.yaml", "loader": "remote", "served_by": "http://b:8000", "cached_tokens": 0}
    assert origin(meta) == "far.remote.yaml · remote · answered by http://b:8000"
    assert origin({**meta, "served_by": ""}) == "far.remote.yaml · remote"


def test_a_reply_that_was_stopped_says_so() -> None:
    assert finish_reason({"reason": "cancelled"}) == "stopped"
    assert finish_reason({"reason": "length"}) == "maximum reply length reached"
    assert finish_reason({"reason": "stop"}) == finish_reason({}) == ""


def test_a_model_in_a_list_shows_its_purpose_unless_it_can_chat() -> None:
    assert model_label("a", "generate") == model_label("a", "") == "a"
    assert model_label("a", "embed") == "a (embeddings)"
