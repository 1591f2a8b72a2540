"""Log-probabilities of a reply from another server, in both shapes of OpenAI's API."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from loaders.remote.streamed_logprobs import read_logprobs
from modules.app import App
from modules.protocol.commands import Generate
from modules.protocol.errors import Unsupported
from modules.protocol.sampling import SamplingParams
from modules.settings.config import Config
from tests.loaders.test_remote_faults import load
from tests.support.server import serving
from tests.support.strange_server import Strange, models, strange

COMPLETIONS = "/v1/completions"


def test_both_shapes_give_the_same_entries() -> None:
    content = [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "id": 7,
            "top_logprobs": [{"token": "é", "logprob": -0.5, "bytes": [195, 169]}, {"token": "x", "logprob": -2.0}],
        }
    ]
    rest = {"bytes": [195, 169], "logprob": -0.5}
    assert read_logprobs({"logprobs": {"content": content}}, 1) == [
        {"token": 7, **rest, "top": [{"token": -1, **rest}]}
    ]
    top = [{"token": -1, **rest}]
    plain = {"tokens": ["é"], "token_logprobs": [-0.5], "top_logprobs": [{"x": -2.0, "é": -0.5}]}
    assert read_logprobs({"logprobs": plain}, 1) == [{"token": -1, **rest, "top": top}]
    part = {"tokens": ["bytes:\\xc3"], "token_logprobs": [None]}
    assert read_logprobs({"logprobs": part}, 1) == [{"token": -1, "bytes": [0xC3], "logprob": -float("inf"), "top": []}]
    assert read_logprobs({"logprobs": None}, 1) is None


def _piece(text: str, **logprobs: Any) -> dict[str, Any]:
    return {"choices": [{"text": text, "finish_reason": None, "logprobs": logprobs or None}]}


def _answer(*events: dict[str, Any]) -> Any:
    def answer(request: Strange) -> None:
        request.begin_events()
        for event in events:
            request.event(event)
        request.event({"choices": [{"text": "", "finish_reason": "stop"}]})
        request.event("[DONE]")

    return answer


def test_they_are_asked_for_and_come_with_the_text(tmp_path: Path) -> None:
    one = _piece("Hello", tokens=["Hello"], token_logprobs=[-0.25], top_logprobs=[{"Hello": -0.25, "Hi": -1.5}])
    with strange({"/v1/models": models("small"), COMPLETIONS: _answer(one, _piece(" you"))}) as server:
        engine, _ = load(server, tmp_path)
        request = Generate("1", "x", SamplingParams(max_new_tokens=8), logprobs=2)
        pieces = list(engine.generate(request, threading.Event()))
        assert server.seen[-1].body["logprobs"] == 2
        assert "".join(piece.text for piece in pieces) == "Hello you"
        found = [entry for piece in pieces for entry in piece.logprobs]
        assert [entry["logprob"] for entry in found] == [-0.25]
        assert [bytes(top["bytes"]) for top in found[0]["top"]] == [b"Hello", b"Hi"]
        plain = list(engine.generate(dataclasses.replace(request, logprobs=-1), threading.Event()))
        assert "logprobs" not in server.seen[-1].body and not any(piece.logprobs for piece in plain)


def test_a_server_that_reports_none_is_named(tmp_path: Path) -> None:
    with strange({"/v1/models": models("small"), COMPLETIONS: _answer(_piece("Hello"))}) as server:
        engine, _ = load(server, tmp_path)
        request = Generate("1", "x", SamplingParams(max_new_tokens=8), logprobs=0)
        with pytest.raises(Unsupported, match="does not report the probabilities of tokens. Leave 'logprobs'"):
            list(engine.generate(request, threading.Event()))
        assert server.seen[-1].body["logprobs"] == 1


@pytest.fixture
def clients(echo: App, config: Config, tmp_path: Path) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Return a client of a Paddock whose model is on another Paddock, and one of that."""
    (tmp_path / "near").mkdir()
    with serving(echo) as far:
        (tmp_path / "near" / "far.remote.yaml").write_text(f"address: {far}\nmodel: tiny\n")
        app = App(dataclasses.replace(config, models=tmp_path / "near", user_data=tmp_path / "near_data"))
        try:
            app.models.load("far.remote.yaml")
            with (
                serving(app) as near,
                httpx.Client(base_url=near, timeout=60) as here,
                httpx.Client(base_url=far, timeout=60) as there,
            ):
                yield here, there
        finally:
            app.close()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "one two three", "logprobs": 2}),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "good day"}], "logprobs": True, "top_logprobs": 2},
        ),
    ],
)
def test_the_api_passes_them_on_as_the_other_server_gives_them(
    clients: tuple[httpx.Client, httpx.Client], path: str, body: dict[str, Any]
) -> None:
    here, there = (client.post(path, json=body).json()["choices"][0]["logprobs"] for client in clients)
    assert here and here == there
