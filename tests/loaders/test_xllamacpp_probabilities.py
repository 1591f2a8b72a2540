"""Next-token probabilities of llama.cpp's server, which reports none for a drawn token that ends the text."""

from __future__ import annotations

from typing import Any

import pytest

from loaders.xllamacpp.worker import Engine
from modules.protocol.errors import PaddockError

REPORTED = {"content": [{"top_logprobs": [{"id": 7, "token": "a", "logprob": 0.0}]}]}


class Server:
    """Reports probabilities from the draw with seed `first` on."""

    def __init__(self, first: int) -> None:
        self.first = first

    def handle_completions(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"choices": [{"logprobs": REPORTED if body["seed"] >= self.first else None}]}


def engine_with(server: Server, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(Engine, "_prompt", lambda self, text, add_bos: [1])
    engine = Engine.__new__(Engine)
    engine._server, engine._media = server, None
    return engine


@pytest.mark.parametrize("first", [0, 1, 5])
def test_another_token_is_drawn_until_probabilities_are_reported(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_with(Server(first), monkeypatch)
    assert engine.next_token_probabilities("a", 1) == [{"token": 7, "text": "a", "probability": 1.0}]


def test_a_model_that_reports_none_loads_and_the_request_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_with(Server(1000), monkeypatch)
    assert engine._computes_numbers()
    with pytest.raises(PaddockError, match="Choose another prompt"):
        engine.next_token_probabilities("a", 1)
