"""The routes below /v1/internal, called as clients of text-generation-webui call them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.settings.config import Config
from tests.conftest import ROOMY
from tests.support.server import serving


def _post(client: httpx.Client, path: str, **body: Any) -> Any:
    response = client.post(f"/v1/internal/{path}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_a_text_comes_back_from_its_tokens(client: httpx.Client) -> None:
    encoded = _post(client, "encode", text="good day to you")
    assert encoded["length"] == len(encoded["tokens"]) == 4
    assert _post(client, "decode", tokens=encoded["tokens"]) == {"text": "good day to you"}
    assert _post(client, "token-count", text="good day to you") == {"length": 4}
    assert client.get("/v1/internal/health").json() == {"status": "ok"}


def test_a_chat_becomes_the_prompt_that_the_model_reads(client: httpx.Client) -> None:
    chat = [{"role": "user", "content": "good day"}]
    prompt = _post(client, "chat-prompt", messages=chat)["prompt"]
    assert "good day" in prompt and prompt.endswith("assistant\n")
    own = "{% for message in messages %}<{{ message.content }}>{% endfor %}"
    assert _post(client, "chat-prompt", messages=chat, instruction_template_str=own) == {"prompt": "<good day>"}
    begun = [*chat, {"role": "assistant", "content": "Well"}]
    assert _post(client, "chat-prompt", messages=begun, continue_=True)["prompt"].endswith("Well")


def test_logits_are_the_likeliest_next_tokens_or_a_sentence(client: httpx.Client) -> None:
    refused = client.post("/v1/internal/logits", json={"prompt": "x"})
    assert refused.status_code == 400 and "next-token probabilities" in refused.json()["error"]["message"]
    sampled = client.post("/v1/internal/logits", json={"prompt": "x", "use_samplers": True})
    assert sampled.status_code == 400 and "use_samplers" in sampled.json()["error"]["message"]


def test_models_are_named_as_text_generation_webui_names_them(client: httpx.Client) -> None:
    assert client.get("/v1/internal/model/list").json() == {"model_names": ["other", "tiny"]}
    info = client.get("/v1/internal/model/info").json()
    assert info == {"model_name": "tiny", "lora_names": [], "loader": "echo", "beside": []}
    assert client.get("/v1/internal/lora/list").json() == {"lora_names": []}


def test_stop_generation_ends_the_replies_of_the_api_and_not_those_of_the_page(
    echo: App, own_client: httpx.Client
) -> None:
    of_page = echo.supervisor.generate("page !long", echo.presets.merge("", {"max_new_tokens": 900_000}))
    body = {"prompt": "a !long", "max_tokens": 900_000, "stream": True}
    with own_client.stream("POST", "/v1/completions", json=body) as response:
        lines = response.iter_lines()
        next(lines)
        assert _post(own_client, "stop-generation") == "OK"
        events = [json.loads(line.removeprefix("data: ")) for line in lines if line and "[DONE]" not in line]
    assert events[-1]["choices"][0]["finish_reason"] == "stop"
    assert not of_page.done
    of_page.cancel()
    assert of_page.wait(60)


def test_a_model_is_loaded_with_settings_in_either_programs_names_and_unloaded(app: App) -> None:
    with serving(app) as address, httpx.Client(base_url=address, timeout=90) as client:
        assert client.get("/v1/internal/model/info").json()["model_name"] == "None"
        load = {"model_name": "tiny", "args": {"loader": "echo", "n_ctx": 777}, "settings": {"delay": 0.002}}
        assert _post(client, "model/load", **load) == "OK"
        assert app.supervisor.loaded().context == 777
        assert getattr(app.supervisor.state.settings, "delay", 0) == 0.002
        # What is not named stays as it was saved.
        assert _post(client, "model/load", model_name="tiny", args={"delay": 0.003}) == "OK"
        assert app.supervisor.loaded().context == 777
        assert _post(client, "model/unload") == "OK"
        assert client.get("/v1/internal/model/info").json()["model_name"] == "None"


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("encode", {}, 400, "'text' must be a text"),
        ("encode", {"text": 3}, 400, "'text' must be a text"),
        ("decode", {"tokens": "x"}, 400, "list of token ids"),
        ("decode", {"tokens": [True]}, 400, "list of token ids"),
        ("decode", {"tokens": [-1]}, 400, "list of token ids"),
        ("chat-prompt", {"messages": []}, 400, "'messages' must be a list"),
        ("model/load", {"model_name": "nope"}, 404, "There is no model named 'nope'"),
        ("model/load", {"model_name": "../tiny"}, 404, "There is no model named"),
        ("model/load", {"model_name": "tiny", "args": {"loader": "wrong"}}, 400, "There is no loader named 'wrong'"),
        ("model/load", {"model_name": "tiny", "args": {"loader": "echo", "what": 1}}, 400, "has no setting 'what'"),
        ("model/load", {"model_name": "tiny", "args": {"loader": "echo", "context": "long"}}, 400, "ontext"),
        ("lora/load", {"lora_names": "style"}, 400, "list of texts"),
        ("lora/load", {"lora_names": ["style"]}, 404, "There is no LoRA adapter named 'style'"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_changes_nothing(
    client: httpx.Client, path: str, body: Any, status: int, words: str
) -> None:
    response = client.post(f"/v1/internal/{path}", json=body)
    assert (response.status_code, words in response.json()["error"]["message"]) == (status, True), response.text
    assert client.get("/v1/internal/model/info").json()["model_name"] == "tiny"


@pytest.fixture
def keyed(config: Config) -> Iterator[tuple[App, httpx.Client]]:
    """Serve with a password and a key, and return a client that sends the key."""
    app = build_app(dataclasses.replace(config, password="word", api_key="key"))
    try:
        app.models.load("tiny", "echo", ROOMY)
        with serving(app) as address:
            headers = {"Authorization": "Bearer key"}
            with httpx.Client(base_url=address, timeout=90, headers=headers) as client:
                yield app, client
    finally:
        app.close()


def test_the_api_key_does_not_load_or_unload(keyed: tuple[App, httpx.Client]) -> None:
    app, client = keyed
    for path in ("model/load", "model/unload", "lora/load", "lora/unload"):
        refused = client.post(f"/v1/internal/{path}", json={"model_name": "tiny", "lora_names": []})
        assert (refused.status_code, "Send the password" in refused.text) == (403, True)
    assert app.supervisor.state.model == "tiny"
    assert _post(client, "token-count", text="a b") == {"length": 2}
    owner = {"Authorization": "Bearer word"}
    assert client.post("/v1/internal/model/unload", headers=owner).json() == "OK"
    assert app.supervisor.state.phase == "empty"
