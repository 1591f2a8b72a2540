"""The API over real HTTP, answered by the echo loader's real process."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from modules.app import App
from tests.support.server import serving

PATIENCE = 90.0


def _events(response: httpx.Response) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_models_are_listed_with_the_loaded_one_marked(client: httpx.Client) -> None:
    body = client.get("/v1/models").json()
    assert [(entry["id"], entry["loaded"]) for entry in body["data"]] == [("tiny", True), ("other", False)]
    assert isinstance(body["data"][1]["created"], int)
    assert client.get("/v1/models/tiny").json() == body["data"][0]


def test_a_model_that_is_not_there_is_a_sentence(client: httpx.Client) -> None:
    response = client.get("/v1/models/owner/nope")
    assert response.status_code == 404
    assert "There is no model named 'owner/nope'" in response.json()["error"]["message"]


def test_a_chat_completion_has_text_reason_and_usage(client: httpx.Client) -> None:
    body = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "good day"}]}).json()
    choice = body["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "good day"}
    assert choice["finish_reason"] == "stop"
    assert body["usage"]["completion_tokens"] == 2
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + 2
    assert body["object"] == "chat.completion"
    assert body["model"] == "tiny"


def test_a_stream_adds_up_to_the_whole_and_ends_with_usage(client: httpx.Client) -> None:
    request = {"prompt": "a b c !long", "max_tokens": 50, "stream": True, "stream_options": {"include_usage": True}}
    with client.stream("POST", "/v1/completions", json=request) as response:
        events = _events(response)
    text = "".join(event["choices"][0]["text"] for event in events if event["choices"])
    assert text.startswith("a b c !long a b c")
    assert len(text.split()) == 50
    assert events[-1]["usage"]["completion_tokens"] == 50
    assert [event["choices"][0]["finish_reason"] for event in events if event["choices"]][-1] == "length"


def test_a_chat_stream_names_the_role_once(client: httpx.Client) -> None:
    request = {"messages": [{"role": "user", "content": "x !long"}], "max_tokens": 200, "stream": True}
    with client.stream("POST", "/v1/chat/completions", json=request) as response:
        deltas = [event["choices"][0]["delta"] for event in _events(response)]
    assert [delta for delta in deltas if "role" in delta] == deltas[:1]
    assert len("".join(delta.get("content", "") for delta in deltas).split()) == 200


def test_a_client_that_hangs_up_is_cancelled_in_the_engine(client: httpx.Client) -> None:
    request = {"prompt": "a !long", "max_tokens": 900_000, "stream": True}
    for _ in range(4):
        # More than the engine has slots: were they not freed, the last answer would never come.
        with client.stream("POST", "/v1/completions", json=request) as response:
            next(response.iter_lines())
    assert client.post("/v1/completions", json={"prompt": "free again"}).json()["choices"][0]["text"] == "free again"


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/completions", "{", "not JSON"),
        ("/v1/completions", "[]", "JSON object"),
        ("/v1/chat/completions", '{"messages":' + "[" * 100_000, "nested more than"),
        ("/v1/chat/completions", '{"messages":' + "[" * 700 + "]" * 700 + "}", "nested more than"),
        ("/v1/completions", {"prompt": "x", "temperature": 9}, "Temperature (temperature) cannot be 9"),
        ("/v1/completions", {"prompt": "x", "num_beams": 2}, "does not support beam search"),
        ("/v1/completions", {"prompt": "x", "num_beams": 2}, "Leave 'num_beams' out"),
        ("/v1/completions", {"prompt": "x", "stream": "false"}, "'stream' must be true or false"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": {"text": "x"}}]}, "must be a text"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
            "This part of a message",
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "An image must be sent as data",
        ),
        ("/v1/completions", {"prompt": "!error"}, "The echo loader fails"),
        ("/v1/completions", {"prompt": "x", "preset": "Nonexistent"}, "Nonexistent"),
        ("/v1/completions", {"prompt": "x", "preset": "n" * 300}, "is too long"),
        ("/v1/chat/completions", {"messages": []}, "at least one message"),
        ("/v1/chat/completions", {"messages": ["x"]}, "'role' and a 'content'"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "x"}], "tools": [{}]},
            "Each tool must be",
        ),
    ],
)
def test_a_bad_request_gets_a_sentence(client: httpx.Client, path: str, body: Any, words: str) -> None:
    response = client.post(path, content=body if isinstance(body, str) else json.dumps(body))
    assert response.status_code == 400, response.text
    assert words in response.json()["error"]["message"]


def test_unknown_parameters_are_named_not_dropped_in_silence(client: httpx.Client) -> None:
    body = client.post("/v1/completions", json={"prompt": "x", "wibble": 3}).json()
    assert body["warnings"] == ["wibble is not a parameter here and was ignored."]


@pytest.mark.parametrize("one", [{"n": 1, "best_of": 1}, {"n": None, "stream": None, "best_of": None, "echo": False}])
def test_neutral_values_are_not_parameters(client: httpx.Client, one: dict[str, Any]) -> None:
    body = client.post("/v1/completions", json={"prompt": "good day", **one}).json()
    assert (body["choices"][0]["text"], body.get("warnings")) == ("good day", None)


@pytest.mark.parametrize("content", ["good day", ["good day"], [{"type": "text", "text": "good day"}]])
def test_a_message_is_a_text_or_a_list_of_texts(client: httpx.Client, content: Any) -> None:
    body = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": content}]}).json()
    assert body["choices"][0]["message"]["content"] == "good day"


def test_half_a_character_in_a_clients_own_words_comes_back_replaced(client: httpx.Client) -> None:
    body = {"prompt": "x", "wib\ud83d": 3}
    warnings = ["wib? is not a parameter here and was ignored."]
    assert client.post("/v1/completions", content=json.dumps(body)).json()["warnings"] == warnings
    with client.stream("POST", "/v1/completions", content=json.dumps({**body, "stream": True})) as response:
        assert all(event["warnings"] == warnings for event in _events(response))
    refused = client.post("/v1/completions", content=json.dumps({"prompt": "x", "preset": "\ud83d"}))
    assert refused.status_code == 400


def test_without_a_model_the_error_has_a_next_step(app: App) -> None:
    with serving(app) as address:
        response = httpx.post(f"{address}/v1/completions", json={"prompt": "x"})
    assert response.status_code == 503
    assert "No model is loaded" in response.json()["error"]["message"]


def test_a_worker_that_dies_in_mid_stream_ends_the_stream_with_the_reason(own_client: httpx.Client) -> None:
    request = {"prompt": "1 2 3 4 5 6 7 !exit", "stream": True}
    with own_client.stream("POST", "/v1/completions", json=request) as response:
        events = _events(response)
    assert "exited with status" in events[-1]["error"]["message"]


def test_a_client_that_hangs_up_in_its_body_leaves_no_trace(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as connection:
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {client.base_url.host}\r\nContent-Length: 100\r\n"
        connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        # The server says so once it waits for the body, and hangs up itself once it knows that none will come.
        assert b"100 Continue" in connection.recv(1000)
        connection.sendall(b'{"prompt":')
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000) == b""
    assert client.post("/v1/completions", json={"prompt": "good day"}).status_code == 200
    assert "ClientDisconnect" not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1/nothing", 404, "There is no /v1/nothing."),
        ("POST", "/v1/", 404, "There is no /v1/."),
        ("GET", "/v1/completions", 405, "/v1/completions does not take GET."),
        ("DELETE", "/v1/models", 405, "/v1/models does not take DELETE."),
    ],
)
def test_an_unknown_route_names_those_that_exist(
    client: httpx.Client, method: str, path: str, status: int, words: str
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    message = response.json()["error"]["message"]
    assert message.startswith(words)
    assert "GET /v1/models, POST /v1/completions, POST /v1/chat/completions" in message


@pytest.fixture
def narrow(app: App) -> Iterator[httpx.Client]:
    """Return a client of a server with a context of 64 tokens, half of them reserved for the reply."""
    app.models.load("tiny", "echo", {"context": 64})
    with serving(app) as address, httpx.Client(base_url=address, timeout=PATIENCE) as client:
        yield client


@pytest.mark.parametrize("chat", [False, True])
def test_a_long_prompt_is_cut_with_room_for_a_reply_and_a_warning(narrow: httpx.Client, chat: bool) -> None:
    text = " ".join(f"w{number}" for number in range(100)) + " !long"
    given = {"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}
    body = narrow.post(f"/v1/{'chat/' if chat else ''}completions", json=given).json()
    cut = body["usage"]["cut_tokens"]
    assert cut >= 69
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (32, 32)
    assert f"so the oldest {cut} tokens were left out" in body["warnings"][0]


def test_a_long_chat_loses_its_oldest_turns_in_steps_and_keeps_its_system_message(narrow: httpx.Client) -> None:
    messages = [{"role": "system", "content": "Stay."}]
    lengths, warnings = [], []
    for number in range(20):
        messages.append({"role": "user", "content": f"question {number}"})
        body = narrow.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 4}).json()
        messages.append(body["choices"][0]["message"])
        assert "cut_tokens" not in body["usage"]
        lengths.append(body["usage"]["prompt_tokens"])
        warnings.append(body.get("warnings", [""])[0])
    assert max(lengths) <= 60 and "oldest messages were left out" in warnings[-1]
    cuts = sorted(set(warnings))
    assert 2 < len(cuts) < 10, "some turns go at once, and then none for a while"


def test_a_reply_to_a_prompt_that_fits_may_fill_the_context(narrow: httpx.Client) -> None:
    body = narrow.post("/v1/completions", json={"prompt": " ".join("abcdefghij") + " !long"}).json()
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (11, 53)
    assert "cut_tokens" not in body["usage"] and "warnings" not in body


def test_a_cut_chat_with_a_maximum_length_has_a_warning_too(narrow: httpx.Client) -> None:
    text = " ".join(f"w{number}" for number in range(100))
    request = {"messages": [{"role": "user", "content": text}], "max_tokens": 4}
    body = narrow.post("/v1/chat/completions", json=request).json()
    assert f"so the oldest {body['usage']['cut_tokens']} tokens were left out" in body["warnings"][0]
    assert body["usage"]["prompt_tokens"] == 60
