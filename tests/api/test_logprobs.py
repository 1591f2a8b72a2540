"""Log-probabilities over the API: both of OpenAI's shapes, streams, a prompt's own, and the best of several answers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from modules.api.token_logprobs import TokenLogprobs
from modules.cli.application import build_app
from modules.library.scan import DEMO_MODEL
from modules.runtime.environment import Environments
from modules.settings.config import Config
from tests.conftest import ROOT
from tests.support.environments import installed, not_here
from tests.support.server import serving

HALF = -math.log(2)


def _post(client: httpx.Client, path: str, **body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def _events(client: httpx.Client, path: str, **body: Any) -> list[Any]:
    with client.stream("POST", path, json={**body, "stream": True}) as response:
        return [json.loads(line[6:])["choices"][0] for line in response.iter_lines() if line.startswith("data: {")]


def test_a_chat_has_each_token_with_the_likeliest_in_its_place(client: httpx.Client) -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "good day"}], "logprobs": True, "top_logprobs": 2}
    found = _post(client, "/v1/chat/completions", **body)["choices"][0]["logprobs"]["content"]
    assert [(one["token"], bytes(one["bytes"]).decode()) for one in found] == [("good", "good"), (" day", " day")]
    assert [one["logprob"] for one in found] == pytest.approx([HALF, HALF])
    assert [top["logprob"] for top in found[0]["top_logprobs"]] == pytest.approx([HALF, 2 * HALF])
    assert found[0]["top_logprobs"][0]["token"] == "good"
    streamed = _events(client, "/v1/chat/completions", **body)
    assert [one for event in streamed for one in (event.get("logprobs") or {"content": []})["content"]] == found
    plain = _post(client, "/v1/chat/completions", **{**body, "top_logprobs": 0})["choices"][0]["logprobs"]["content"]
    assert [one["top_logprobs"] for one in plain] == [[], []]


def test_a_completion_has_tokens_texts_and_offsets(client: httpx.Client) -> None:
    body = {"prompt": "one two three", "logprobs": 1, "max_tokens": 2}
    found = _post(client, "/v1/completions", **body)["choices"][0]["logprobs"]
    assert found["tokens"] == ["one", " two"]
    assert found["text_offset"] == [0, 3]
    assert found["token_logprobs"] == pytest.approx([HALF, HALF])
    assert [list(top) for top in found["top_logprobs"]] == [["one"], [" two"]]
    streamed = [event["logprobs"] for event in _events(client, "/v1/completions", **body) if event.get("logprobs")]
    joined = {name: [one for part in streamed for one in part[name]] for name in found}
    assert joined == found


def test_without_logprobs_there_are_none(client: httpx.Client) -> None:
    assert _post(client, "/v1/completions", prompt="x")["choices"][0]["logprobs"] is None
    assert _post(client, "/v1/completions", prompt="x", logprobs=False)["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_an_echoed_prompt_is_scored(client: httpx.Client, max_tokens: int) -> None:
    body = {"prompt": "one two three", "logprobs": 1, "echo": True, "max_tokens": max_tokens}
    choice = _post(client, "/v1/completions", **body)["choices"][0]
    found = choice["logprobs"]
    assert choice["text"] == "one two three" + "one" * max_tokens
    assert found["tokens"] == ["one", " two", " three", *["one"] * max_tokens]
    assert found["text_offset"] == [0, 3, 7, 13][: 3 + max_tokens]
    # The echo loader's logits are 1 for the token that comes, and 0 for the others.
    assert found["token_logprobs"][0] is None and found["top_logprobs"][0] is None
    assert list(found["top_logprobs"][1]) == [" two"]
    assert 0 > found["token_logprobs"][1] == pytest.approx(found["token_logprobs"][2])
    streamed = _events(client, "/v1/completions", **body)
    assert streamed[0]["logprobs"]["tokens"] == ["one", " two", " three"]


def test_token_ids_are_scored_as_they_were_sent(client: httpx.Client) -> None:
    ids = client.post("/v1/internal/encode", json={"text": "one two three"}).json()["tokens"]
    body = {"prompt": ids, "logprobs": 0, "echo": True, "max_tokens": 0}
    found = _post(client, "/v1/completions", **body)["choices"][0]["logprobs"]
    assert found["tokens"] == ["one", " two", " three"]
    assert found["top_logprobs"][1:] == [{}, {}]


def test_the_best_of_several_answers_is_kept(client: httpx.Client) -> None:
    answer = _post(client, "/v1/completions", prompt=["a b", "c"], n=1, best_of=3)
    assert [(one["index"], one["text"], one["logprobs"]) for one in answer["choices"]] == [
        (0, "a b", None),
        (1, "c", None),
    ]
    assert answer["usage"]["completion_tokens"] == 9


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/completions", {"prompt": "x", "logprobs": 101}, "from 0 to 100"),
        ("/v1/completions", {"prompt": "x", "logprobs": True}, "whole number"),
        ("/v1/completions", {"prompt": "x", "n": 3, "best_of": 2}, "cannot be less than 'n'"),
        ("/v1/completions", {"prompt": "x", "best_of": 2, "stream": True}, "cannot be streamed"),
        ("/v1/completions", {"prompt": "x", "best_of": 1000}, "from 1 to 128"),
        ("/v1/chat/completions", {"logprobs": 1}, "must be true or false"),
        ("/v1/chat/completions", {"top_logprobs": 1}, "needs 'logprobs'"),
        ("/v1/chat/completions", {"best_of": 2}, "Only completions have 'best_of'"),
        ("/v1/chat/completions", {"best_of": True}, "Only completions have 'best_of'"),
        ("/v1/completions", {"prompt": "x", "best_of": "1"}, "whole number"),
    ],
)
def test_wrong_values_get_a_sentence(client: httpx.Client, path: str, body: dict[str, Any], words: str) -> None:
    chat = {"messages": [{"role": "user", "content": "x"}]} if "chat" in path else {}
    response = client.post(path, json={**chat, **body})
    assert response.status_code == 400 and words in response.json()["error"]["message"]


def test_half_a_character_and_a_probability_of_zero_have_their_own_signs() -> None:
    entry = {"token": 1, "bytes": [0xE2, 0x82], "logprob": -math.inf, "top": []}
    rest = {"token": 2, "bytes": [0xAC], "logprob": -1.0, "top": []}
    found = TokenLogprobs(is_chat=False).format([entry, rest])
    assert found["tokens"] == ["bytes:\\xe2\\x82", "bytes:\\xac"]
    assert found["token_logprobs"] == [-9999.0, -1.0]
    assert found["text_offset"] == [0, 0]


# Loader -> the demo model in a format that it reads.
MODELS = {"xllamacpp": DEMO_MODEL, "transformers": "demo"}


@pytest.fixture(params=MODELS, scope="module")
def real(
    request: pytest.FixtureRequest, environments: Environments, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """Return a client of a server with the demo model in a real engine."""
    app = build_app(Config(ROOT, port=0, user_data=tmp_path_factory.mktemp("real") / "user_data"))
    try:
        spec = app.registry.get(request.param)
        if reason := not_here(spec, environments):
            pytest.skip(reason)
        installed(spec, environments)
        app.models.load(MODELS[request.param], request.param)
        with serving(app) as address, httpx.Client(base_url=address, timeout=120) as client:
            yield client
    finally:
        app.close()


def test_a_real_engine_scores_a_text_in_a_prompt_as_in_its_reply(real: httpx.Client) -> None:
    asked = {"temperature": 0, "max_tokens": 8, "logprobs": 2}
    written = _post(real, "/v1/completions", prompt="GGUF is", **asked)["choices"][0]
    text = f"GGUF is{written['text']}"
    found = _post(real, "/v1/completions", prompt=text, echo=True, max_tokens=1, logprobs=2)["choices"][0]["logprobs"]
    assert "".join(found["tokens"][:-1]).strip() == text
    count = len(written["logprobs"]["tokens"])
    echoed = found["token_logprobs"][-count - 1 : -1]
    assert found["tokens"][-count - 1 : -1] == written["logprobs"]["tokens"]
    assert echoed == pytest.approx(written["logprobs"]["token_logprobs"], abs=0.1)
    assert all(one is None or one <= 0 for one in found["token_logprobs"])
    # Of the greedy tokens, each is the likeliest of those in its place.
    for token, top in list(zip(found["tokens"], found["top_logprobs"], strict=True))[-count - 1 : -1]:
        assert max(top, key=top.__getitem__) == token
