"""What clients of other servers send: taken as they mean it, or refused with a sentence; nothing is dropped unseen."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from modules.api.request_params import read_options, request_messages
from modules.app import App
from modules.protocol.sampling import SamplingParams
from tests.support.server import serving

# As the templates of Mistral and Gemma have it.
STRICT = (
    "{% for message in messages %}{% if message.role != ('user' if loop.index0 % 2 == 0 else 'assistant') %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "[{{ message.role }}] {{ message.content }} {% endfor %}"
)


def _chat(client: httpx.Client, *messages: tuple[str, str], **more: Any) -> httpx.Response:
    body = {"messages": [{"role": role, "content": text} for role, text in messages], **more}
    return client.post("/v1/chat/completions", json=body)


REFUSED: list[dict[str, Any]] = [
    {"guided_regex": "a+"},
    {"structured_outputs": {"regex": "a+"}},
    {"format": "json"},
    {"functions": [{"name": "x"}]},
    {"function_call": {"name": "x"}},
    {"num_beams": 4},
    {"use_beam_search": True},
    {"prompt_logprobs": 0},
    {"audio": {"voice": "x", "format": "wav"}},
    {"modalities": ["text", "audio"]},
    {"web_search_options": {}},
    {"suffix": "the end"},
    {"previous_response_id": "x"},
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_unsupported_fields_that_would_change_the_answer_are_refused(client: httpx.Client, path: str) -> None:
    body = {"messages": [{"role": "user", "content": "x"}]} if "chat" in path else {"prompt": "x"}
    for part in REFUSED:
        answer = client.post(path, json={**body, **part})
        assert answer.status_code == 400, part
        assert "Leave '" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "wrong",
    [{"stream": "yes"}, {"stream_options": 5}, {"stream_options": {"include_usage": "yes"}}, {"echo": "yes"}],
    ids=str,
)
def test_wrong_switches_are_refused(client: httpx.Client, wrong: dict[str, Any]) -> None:
    answer = client.post("/v1/completions", json={"prompt": "x", **wrong})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] is None


TAKEN: list[dict[str, Any]] = [
    {"response_format": {"type": "text"}},
    {"response_format": None, "tools": [], "tool_choice": "auto", "functions": None, "function_call": "none"},
    {"n": 1, "best_of": 1.0, "logprobs": False, "top_logprobs": 0, "modalities": ["text"], "suffix": ""},
    {"parallel_tool_calls": False, "store": False, "metadata": {}, "user": "me"},
]


def test_unsupported_fields_with_their_neutral_value_are_accepted(client: httpx.Client) -> None:
    for part in TAKEN:
        answer = _chat(client, ("user", "good day"), **part)
        assert answer.json()["choices"][0]["message"]["content"] == "good day", part
        assert "warnings" not in answer.json(), part


def test_another_role_is_refused(client: httpx.Client) -> None:
    for role in ("alien", "", "System", "human", "bot", "model", "x" * 1000):
        answer = _chat(client, (role, "x"))
        assert answer.status_code == 400 and "The roles are: " in answer.json()["error"]["message"]


def test_a_developer_is_the_system() -> None:
    assert request_messages({"messages": [{"role": "developer", "content": "x"}]}) == [
        {"role": "system", "content": "x"}
    ]


def test_a_strict_template_gets_turns_over_the_api_too(
    echo: App, own_client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = echo.supervisor.generate_chat
    monkeypatch.setattr(
        echo.supervisor,
        "generate_chat",
        lambda chat, opening=False, client="": real(replace(chat, template=STRICT), opening, client),
    )
    body = _chat(
        own_client, ("developer", "be kind"), ("user", "1"), ("user", "2"), ("assistant", "3"), ("user", "4")
    ).json()
    # The fake engine answers with the prompt's last line.
    assert body["choices"][0]["message"]["content"] == "2 [assistant] 3 [user] 4"
    assert body["usage"]["prompt_tokens"] == 10
    assert "was put into the question" in body["warnings"][0]
    assert _chat(own_client, ("assistant", "hello"), ("user", "x")).status_code == 200
    assert _chat(own_client, ("user", "x"), ("system", "now briefly"), ("user", "y")).status_code == 200


def _read(app: App, **body: Any) -> SamplingParams:
    return read_options({"prompt": "x", **body}, app.presets, app.registry.get("echo")).params


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"top_k": -1}, {"top_k": 0}),
        ({"top_k": -1.0}, {"top_k": 0}),
        ({"repetition_penalty_range": -1}, {"repetition_penalty_range": 0}),
        ({"repeat_penalty": 0.9}, {"repetition_penalty": 0.9}),
        ({"repetition_penalty": 0.5}, {"repetition_penalty": 0.5}),
        ({"tfs_z": 0.9, "mirostat": 2, "n_predict": 7}, {"tfs": 0.9, "mirostat_mode": 2, "max_new_tokens": 7}),
        ({"seed": -1}, {"seed": -1}),
        ({"seed": 2**31 - 1}, {"seed": 2**31 - 1}),
        ({"max_tokens": -1}, {"max_new_tokens": 512}),
        ({"max_completion_tokens": 5}, {"max_new_tokens": 5}),
    ],
)
def test_ranges_of_other_servers_are_taken(app: App, given: dict[str, Any], meant: dict[str, Any]) -> None:
    params = _read(app, **given)
    assert {name: getattr(params, name) for name in meant} == meant


def test_seeds_of_64_bits_are_taken_and_differ(app: App) -> None:
    seeds = [2**31, 2**32 - 1, 2**32, 2**33, 2**63 - 1, 2**63, 2**64 - 1, -2, -(2**31), -(2**63)]
    found = [_read(app, seed=seed).seed for seed in seeds]
    assert all(0 <= seed < 2**31 for seed in found) and len(set(found)) == len(found) - 1
    assert found == [_read(app, seed=seed).seed for seed in seeds]


CANNOT_BE: list[dict[str, Any]] = [
    {"top_k": -2},
    {"top_k": True},
    {"repetition_penalty": 0},
    {"repetition_penalty": -1},
    {"repetition_penalty_range": -2},
    {"seed": 2**64},
    {"seed": -(2**63) - 1},
    {"seed": 1.5},
    {"seed": True},
    {"seed": "x"},
    {"max_tokens": 0},
    {"max_tokens": -2},
    {"max_tokens": False},
    {"max_completion_tokens": 0},
    {"max_tokens": 0, "echo": False},
    {"logit_bias": "1:nan"},
    {"logit_bias": "1:inf"},
    {"logit_bias": "-1:1"},
    {"logit_bias": {"1": "nan"}},
    {"logit_bias": {"x": 1}},
    {"logit_bias": {"1": None}},
    {"logit_bias": {"1": [1]}},
    {"logit_bias": "1:2:3"},
    {"logit_bias": [1]},
    {"custom_token_bans": "-5"},
    {"custom_token_bans": "x"},
    {"temperature": 10**400},
    {"sampler_priority": ["nope"]},
    {"model": 5},
    {"stop": [1]},
]


def test_impossible_values_are_a_bad_request(client: httpx.Client) -> None:
    for given in CANNOT_BE:
        answer = client.post("/v1/completions", json={"prompt": "x", **given})
        assert answer.status_code == 400, given
        assert answer.json()["error"]["message"]


def test_nan_and_infinity_are_not_json(client: httpx.Client) -> None:
    for name in ("temperature", "seed", "logit_bias", "n", "wibble"):
        for number in ("NaN", "Infinity", "-Infinity"):
            answer = client.post("/v1/completions", content=f'{{"prompt": "x", "{name}": {number}}}')
            assert answer.status_code == 400 and "not JSON" in answer.json()["error"]["message"]


def test_a_chat_of_no_tokens_is_refused(client: httpx.Client) -> None:
    assert _chat(client, ("user", "x"), max_tokens=0, echo=True).status_code == 400


@pytest.mark.parametrize("stream", [False, True])
def test_an_echo_begins_with_the_prompt(client: httpx.Client, stream: bool) -> None:
    for limit, text in ((None, "good daygood day"), (1, "good daygood"), (0, "good day")):
        body = {"prompt": "good day", "echo": True, "max_tokens": limit, "stream": stream}
        answer = client.post("/v1/completions", json=body)
        assert answer.status_code == 200
        if stream:
            lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
            choices = [json.loads(line)["choices"][0] for line in lines[:-1]]
        else:
            choices = answer.json()["choices"]
            assert "warnings" not in answer.json()
            if limit == 0:
                usage = answer.json()["usage"]
                assert (usage["completion_tokens"], usage["prompt_tokens"] > 0) == (0, True)
        assert "".join(choice["text"] for choice in choices).strip() == text
        assert choices[-1]["finish_reason"] == ("stop" if limit is None else "length")


def test_the_loaded_model_answers_to_its_name(client: httpx.Client) -> None:
    for name in ("tiny", "tiny/", " tiny ", "", None):
        assert _chat(client, ("user", "x"), model=name).json()["model"] == "tiny"


def test_a_model_that_is_not_there_is_not_found(client: httpx.Client) -> None:
    for name in ("gpt-4o", "tiny2", "TINY/x", "../tiny", "x" * 5000, "tin\u0000y"):
        for answer in (_chat(client, ("user", "x"), model=name), client.post("/v1/completions", json={"model": name})):
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "model_not_found"


def test_without_a_model_a_wrong_name_is_wrong_all_the_same(app: App) -> None:
    with serving(app) as address, httpx.Client(base_url=address, timeout=90) as client:
        assert _chat(client, ("user", "x"), model="gpt-4o").status_code == 404
        assert _chat(client, ("user", "x")).status_code == 503
