"""Sounds in requests, with OpenAI's client. The echo loader names each sound that it hears."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from modules.app import App
from tests.conftest import ROOMY
from tests.support.pictures import RED, png
from tests.support.server import serving
from tests.support.sounds import HIGH, LOW, mp3, tone


@pytest.fixture(scope="module")
def hears(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, App]]:
    """Return a client of a server whose model hears, and its App."""
    from modules.cli.application import build_app
    from modules.settings.config import Config
    from tests.conftest import ROOT
    from tests.support.models import write_model_folder

    folder = tmp_path_factory.mktemp("hears")
    write_model_folder(folder / "models" / "tiny")
    app = build_app(Config(ROOT, port=0, models=folder / "models", user_data=folder / "user_data", show_echo=True))
    try:
        app.models.load("tiny", "echo", {**ROOMY, "hears": True})
        with serving(app) as address, httpx.Client(base_url=address, timeout=90) as client:
            yield client, app
    finally:
        app.close()


def _part(data: bytes, format: str = "wav") -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": format}}


def _ask(client: httpx.Client, *parts: Any, **more: Any) -> httpx.Response:
    return client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": [*parts]}], **more})


def _name(app: App, data: bytes) -> str:
    """Return the word with which the echo loader names a sound."""
    return f"audio-{hashlib.sha256(Path(app.images.add_audio(data)).read_bytes()).hexdigest()[:8]}"


def test_a_sound_in_a_chat_reaches_the_model(hears: tuple[httpx.Client, App]) -> None:
    client, app = hears
    user = openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="none", max_retries=0)
    texts = []
    for data, format in ((tone(LOW), "wav"), (tone(HIGH), "wav"), (mp3(), "mp3"), (tone(LOW), "wav")):
        messages: Any = [{"role": "user", "content": [{"type": "text", "text": "Listen"}, _part(data, format)]}]
        texts.append(user.chat.completions.create(model="tiny", messages=messages).choices[0].message.content)
    assert texts == [_name(app, data) for data in (tone(LOW), tone(HIGH), mp3(), tone(LOW))]
    assert len(set(texts)) == 3


def test_a_sound_in_a_response_reaches_the_model_and_its_successor(hears: tuple[httpx.Client, App]) -> None:
    client, app = hears
    parts = [{"type": "input_text", "text": "Listen"}, _part(tone(HIGH))]
    first = client.post("/v1/responses", json={"input": [{"role": "user", "content": parts}]}).json()
    assert first["output"][0]["content"][0]["text"] == _name(app, tone(HIGH))
    body = {"input": "And now?", "previous_response_id": first["id"]}
    second = client.post("/v1/responses", json=body).json()
    assert second["usage"]["input_tokens"] > first["usage"]["input_tokens"]


def test_the_list_of_models_says_that_it_hears(hears: tuple[httpx.Client, App]) -> None:
    (entry,) = (one for one in hears[0].get("/v1/models").json()["data"] if one["id"] == "tiny")
    assert (entry["hears_audio"], entry["sees_images"]) == (True, False)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "input_audio"}, "must have an 'input_audio': {'data', 'format'}"),
        ({"type": "input_audio", "input_audio": {"data": 5, "format": "wav"}}, "must have an 'input_audio'"),
        (
            {"type": "input_audio", "input_audio": {"data": "%%%", "format": "wav"}},
            "The data of a sound must be base64",
        ),
        (_part(tone(), "ogg"), "The 'format' of a sound must be wav or mp3"),
        (_part(b"no sound at all"), "The sound is no sound that can be read here. Send it as WAV or MP3."),
        (_part(png(RED)), "is no sound that can be read here"),
        (_part(tone()[:30]), "The sound is damaged"),
        (_part(tone(0, 1900, 1000)), "The sound is longer than 30 minutes. Send a part of it."),
    ],
)
def test_a_sound_that_cannot_be_read_gets_a_sentence(hears: tuple[httpx.Client, App], part: Any, words: str) -> None:
    answer = _ask(hears[0], part)
    assert (answer.status_code, words in answer.json()["error"]["message"]) == (400, True), answer.text


@pytest.mark.parametrize("mode", ["chat", "chat-instruct"])
def test_a_sound_in_a_dialogue_of_characters_reaches_the_model(hears: tuple[httpx.Client, App], mode: str) -> None:
    client, app = hears
    counted = [
        _ask(client, *parts, {"type": "text", "text": "Listen"}, mode=mode).json()["usage"]["prompt_tokens"]
        for parts in ([], [_part(tone(LOW))])
    ]
    assert counted[1] > counted[0]


def test_no_client_can_name_a_file_of_the_server(hears: tuple[httpx.Client, App], tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(tone(HIGH))
    for part in ({"type": "audio", "path": str(tmp_path / "secret.wav")}, {**_part(tone(LOW)), "path": "/etc/passwd"}):
        answer = _ask(hears[0], part)
        assert _name(hears[1], tone(HIGH)) not in answer.text and "root:" not in answer.text
    assert _ask(hears[0], {"type": "audio", "path": str(tmp_path / "secret.wav")}).status_code == 400


def test_a_model_that_does_not_hear_says_so_before_it_answers(app: App) -> None:
    app.models.load("tiny", "echo", {**ROOMY, "sees_images": True})
    with serving(app) as address, httpx.Client(base_url=address, timeout=90) as client:
        for more in ({}, {"stream": True}):
            answer = _ask(client, _part(tone()), **more)
            assert answer.status_code == 400
            assert "This model does not hear. Choose a model that does" in answer.text
