"""Images in requests, with the clients of OpenAI and Anthropic. The echo loader names each image that it sees."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from modules.app import App
from tests.conftest import ROOMY
from tests.support.pictures import BLUE, RED, png, png_of
from tests.support.server import serving


@pytest.fixture(scope="module")
def sees(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, App]]:
    """Return a client of a server whose model sees images, and its App."""
    from modules.cli.application import build_app
    from modules.settings.config import Config
    from tests.conftest import ROOT
    from tests.support.models import write_model_folder

    folder = tmp_path_factory.mktemp("sees")
    write_model_folder(folder / "models" / "tiny")
    app = build_app(Config(ROOT, port=0, models=folder / "models", user_data=folder / "user_data", show_echo=True))
    try:
        app.models.load("tiny", "echo", {**ROOMY, "sees_images": True})
        with serving(app) as address, httpx.Client(base_url=address, timeout=90) as client:
            yield client, app
    finally:
        app.close()


def _url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _part(data: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": _url(data)}}


def _ask(client: httpx.Client, *parts: Any, **more: Any) -> httpx.Response:
    messages = [{"role": "user", "content": [*parts, *more.pop("after", [])]}]
    return client.post("/v1/chat/completions", json={"messages": messages, **more})


def _name(app: App, data: bytes) -> str:
    """Return the word with which the echo loader names an image."""
    return f"image-{hashlib.sha256(Path(app.images.add(data)).read_bytes()).hexdigest()[:8]}"


def test_an_image_in_a_chat_reaches_the_model(sees: tuple[httpx.Client, App]) -> None:
    client, app = sees
    user = openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="none", max_retries=0)
    texts = []
    for colour in (RED, BLUE, RED):
        messages: Any = [{"role": "user", "content": [{"type": "text", "text": "See"}, _part(png(colour))]}]
        found = user.chat.completions.create(model="tiny", messages=messages)
        texts.append(found.choices[0].message.content)
    assert texts == [_name(app, png(RED)), _name(app, png(BLUE)), _name(app, png(RED))]
    assert texts[0] != texts[1]


def test_an_image_in_a_response_reaches_the_model_and_its_successor(sees: tuple[httpx.Client, App]) -> None:
    client, app = sees
    user = openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="none", max_retries=0)
    parts: Any = [{"type": "input_text", "text": "See"}, {"type": "input_image", "image_url": _url(png(RED))}]
    first = user.responses.create(model="tiny", input=[{"role": "user", "content": parts}])
    assert first.output_text == _name(app, png(RED))
    second = user.responses.create(model="tiny", input="And now?", previous_response_id=first.id)
    assert second.output_text == "And now?"
    assert second.usage is not None and first.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens


def test_an_image_in_a_message_reaches_the_model(sees: tuple[httpx.Client, App]) -> None:
    client, app = sees
    user = anthropic.Anthropic(base_url=str(client.base_url), api_key="none", max_retries=0)
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png(BLUE)).decode()}
    messages: Any = [
        {"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image", "source": source}]}
    ]
    found = user.messages.create(model="tiny", max_tokens=90, messages=messages)
    assert getattr(found.content[0], "text", "") == _name(app, png(BLUE))
    counted = user.messages.count_tokens(model="tiny", messages=messages).input_tokens
    assert counted == found.usage.input_tokens + (found.usage.cache_read_input_tokens or 0)


def test_an_image_in_the_result_of_a_tool_reaches_the_model(sees: tuple[httpx.Client, App]) -> None:
    client, app = sees
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png(BLUE)).decode()}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image", "source": source}]}
    messages = [
        {"role": "user", "content": "Look"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {}}]},
        {"role": "user", "content": [result]},
    ]
    body = {"model": "tiny", "max_tokens": 90, "messages": messages}
    counted = client.post("/v1/messages/count_tokens", json=body)
    answer = client.post("/v1/messages", json=body)
    assert (counted.status_code, answer.status_code) == (200, 200), answer.text
    text = "".join(part["text"] for part in answer.json()["content"])
    assert text == "</tool_response>" or _name(app, png(BLUE)) in text


def test_a_stream_with_an_image_ends_like_any_other(sees: tuple[httpx.Client, App]) -> None:
    client, app = sees
    answer = _ask(client, {"type": "text", "text": "See"}, _part(png(RED)), stream=True)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    text = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
    assert text == _name(app, png(RED))


def test_a_model_that_does_not_see_refuses_with_a_next_step(client: httpx.Client) -> None:
    answer = _ask(client, _part(png(RED)), {"type": "text", "text": "What is it?"})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "prompt")
    assert error["message"] == "This model does not see images. Choose a model that does, or leave the images out."
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png(RED)).decode()}
    body = {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}
    refused = client.post("/v1/messages", json=body)
    assert refused.status_code == 400 and "does not see images" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, "not fetched from addresses"),
        ({"type": "image_url", "image_url": "http://127.0.0.1:22/"}, "not fetched from addresses"),
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "not fetched from addresses"),
        ({"type": "image_url"}, "must have an 'image_url'"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,!!"}}, "must be base64"),
        ({"type": "image", "path": "/etc/passwd"}, "must be sent as data"),
        ({"type": "image", "source": {"type": "url", "url": "http://10.0.0.1/"}}, "not fetched from addresses"),
        (_part(b"no image"), "is no image that can be read here"),
        (_part(png(RED)[:60]), "is damaged"),
        (_part(png_of(b"", 50_000, 50_000)), "has 50,000 × 50,000 pixels, and at most 50 million are read"),
    ],
)
def test_an_image_that_cannot_be_read_gets_a_sentence(sees: tuple[httpx.Client, App], part: Any, words: str) -> None:
    answer = _ask(sees[0], part)
    assert (answer.status_code, words in answer.json()["error"]["message"]) == (400, True), answer.text


def test_a_request_may_not_bring_too_many_images(sees: tuple[httpx.Client, App]) -> None:
    answer = _ask(sees[0], *[_part(png(RED))] * 51)
    assert answer.status_code == 400 and "at most 50 images and sounds" in answer.json()["error"]["message"]


def test_no_client_can_name_a_file_of_the_server(sees: tuple[httpx.Client, App], tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(RED))
    part = {"type": "image", "path": str(secret)}
    for body in (
        {"messages": [{"role": "user", "content": [part]}]},
        {"messages": [{"role": "tool", "content": [{"type": "tool_result", "content": [part]}]}]},
        {"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"messages": [part]}},
    ):
        answer = sees[0].post("/v1/chat/completions", json=body)
        assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("mode", ["chat", "chat-instruct"])
def test_an_image_in_a_dialogue_of_characters_reaches_the_model(sees: tuple[httpx.Client, App], mode: str) -> None:
    client, app = sees
    before = app.supervisor.last_finished()
    text = {"type": "text", "text": "See"}
    lengths = []
    for parts in ([text], [text, _part(png(RED))]):
        answer = _ask(client, *parts, mode=mode)
        assert answer.status_code == 200, answer.text
        lengths.append(answer.json()["usage"]["prompt_tokens"])
    assert app.supervisor.last_finished() != before
    assert lengths[1] == lengths[0] + 1


def test_a_chat_with_an_image_is_not_cut_by_a_clients_limit(sees: tuple[httpx.Client, App]) -> None:
    client, app = sees
    parts = [{"type": "text", "text": "See"}, _part(png(RED))]
    whole = _ask(client, *parts, truncation_length=200, max_tokens=50)
    assert whole.json()["choices"][0]["message"]["content"] == _name(app, png(RED))
    answer = _ask(client, {"type": "text", "text": "word " * 300}, *parts, truncation_length=200, max_tokens=50)
    assert answer.status_code == 400 and "with images or sounds is not cut" in answer.json()["error"]["message"]


def test_a_route_that_takes_no_images_says_so(sees: tuple[httpx.Client, App]) -> None:
    messages = [{"role": "user", "content": [_part(png(RED))]}]
    answer = sees[0].post("/v1/internal/chat-prompt", json={"messages": messages})
    assert answer.status_code == 400 and "cannot be read here" in answer.json()["error"]["message"]


def test_several_answers_see_the_same_image(sees: tuple[httpx.Client, App]) -> None:
    client, app = sees
    answer = _ask(client, {"type": "text", "text": "See"}, _part(png(RED)), n=2)
    texts = [choice["message"]["content"] for choice in answer.json()["choices"]]
    assert texts == [_name(app, png(RED))] * 2
