"""Several choices in one answer, over real HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from modules.api.choices import MOST_CHOICES


def _complete(client: httpx.Client, **body: Any) -> Any:
    response = client.post("/v1/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_prompts_and_copies_are_choices_in_order_and_each_prompt_counts_once(client: httpx.Client) -> None:
    answer = _complete(client, prompt=["good day", "a b c"], n=2, seed=7)
    assert [(one["index"], one["text"]) for one in answer["choices"]] == [
        (0, "good day"),
        (1, "good day"),
        (2, "a b c"),
        (3, "a b c"),
    ]
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (5, 10, 15)
    assert "warnings" not in answer


def test_a_chat_has_several_answers(client: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "good day"}], "n": 3}
    answer = client.post("/v1/chat/completions", json=body).json()
    assert [one["message"]["content"] for one in answer["choices"]] == ["good day"] * 3
    assert [one["index"] for one in answer["choices"]] == [0, 1, 2]


def test_a_stream_tells_the_choices_apart_and_ends_with_one_usage(client: httpx.Client) -> None:
    body = {"prompt": ["a b", "x y z"], "stream": True, "stream_options": {"include_usage": True}}
    with client.stream("POST", "/v1/completions", json=body) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines.count("[DONE]") == 1 and lines[-1] == "[DONE]"
    events = [json.loads(line) for line in lines[:-1]]
    texts = {0: "", 1: ""}
    reasons = []
    for event in events[:-1]:
        choice = event["choices"][0]
        texts[choice["index"]] += choice["text"]
        reasons += [choice["finish_reason"]] if choice["finish_reason"] else []
    assert texts == {0: "a b", 1: "x y z"}
    assert reasons == ["stop", "stop"]
    assert len({event["id"] for event in events}) == 1
    assert events[-1]["choices"] == [] and events[-1]["usage"]["completion_tokens"] == 5


def test_a_client_that_hangs_up_ends_all_its_choices(client: httpx.Client) -> None:
    body = {"prompt": "a !long", "n": 6, "max_tokens": 900_000}
    with client.stream("POST", "/v1/completions", json={**body, "stream": True}) as response:
        next(response.iter_lines())
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1/completions", json=body, timeout=0.5)
    # Were the slots not free again, this would never come.
    assert _complete(client, prompt="free again")["choices"][0]["text"] == "free again"


def test_token_ids_are_a_prompt(client: httpx.Client) -> None:
    ids = client.post("/v1/internal/encode", json={"text": "good day"}).json()["tokens"]
    assert _complete(client, prompt=ids)["choices"][0]["text"] == "good day"
    both = _complete(client, prompt=[ids, ids])
    assert [one["text"] for one in both["choices"]] == ["good day"] * 2
    assert "warnings" not in both


def test_token_ids_that_do_not_survive_as_text_are_a_warning(client: httpx.Client) -> None:
    parts = [client.post("/v1/internal/encode", json={"text": text}).json()["tokens"][0] for text in ("go", "od")]
    answer = _complete(client, prompt=parts)
    assert answer["choices"][0]["text"] == "good"
    assert "reads as 1 other tokens" in answer["warnings"][0]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"prompt": "x", "n": 0}, "'n' must be a whole number from 1"),
        ({"prompt": "x", "n": True}, "'n' must be a whole number from 1"),
        ({"prompt": "x", "n": 1.5}, "'n' must be a whole number from 1"),
        ({"prompt": "x", "n": MOST_CHOICES + 1}, "'n' must be a whole number from 1"),
        ({"prompt": []}, "'prompt' must hold"),
        ({"prompt": ["x"] * 3, "n": 60}, "'prompt' must hold"),
        ({"prompt": ["x !long", {}], "max_tokens": 900_000}, "'prompt' must be a text"),
        ({"prompt": [[1, "x"]]}, "'prompt' must be a text"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_leaves_nothing_running(client: httpx.Client, body: Any, words: str) -> None:
    response = client.post("/v1/completions", json=body)
    assert (response.status_code, words in response.json()["error"]["message"]) == (400, True), response.text
    assert _complete(client, prompt=["a", "b", "c"])["choices"][2]["text"] == "c"


def test_a_choice_that_fails_is_the_error_of_the_answer(client: httpx.Client) -> None:
    response = client.post("/v1/completions", json={"prompt": ["fine", "x !error"]})
    assert response.status_code == 400
    assert "echo loader fails" in response.json()["error"]["message"]
