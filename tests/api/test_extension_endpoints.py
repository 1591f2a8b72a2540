"""Parts of OpenAI's API that extensions answer, over real HTTP."""

from __future__ import annotations

import io
import shutil
import wave
from collections.abc import Iterator

import httpx
import openai
import pytest

from modules.app import App
from tests.plugins.conftest import write_extension
from tests.support.server import serving


@pytest.fixture
def http(app: App) -> Iterator[httpx.Client]:
    """Return a client of a server without a model."""
    with serving(app) as address, httpx.Client(base_url=address, timeout=90) as client:
        yield client


@pytest.mark.parametrize(
    "path",
    ["/v1/audio/speech", "/v1/audio/transcriptions", "/v1/images/generations", "/v1/moderations"],
)
def test_without_an_extension_the_answer_is_501_with_a_next_step(http: httpx.Client, path: str) -> None:
    response = http.post(path, json={"input": "x"})
    assert response.status_code == 501
    message = response.json()["error"]["message"]
    assert f"answers POST {path}" in message and "Switch on" in message


def test_an_extension_answers_while_it_is_on(app: App, http: httpx.Client) -> None:
    write_extension(
        app.config.paths.user_data / "extensions",
        "judge",
        """
        def api_routes():
            return {"POST /v1/moderations": judge}
        def judge(request):
            return {"results": [{"flagged": "bad" in request.json()["input"]}]}
        """,
    )
    app.extensions.enable("judge", app.extensions.find("judge").sha256)
    client = openai.OpenAI(base_url=f"{http.base_url}/v1", api_key="none", max_retries=0)
    assert client.moderations.create(input="bad words").results[0].flagged
    assert http.get("/v1/moderations").status_code == 501
    app.extensions.disable("judge")
    assert http.post("/v1/moderations", json={"input": "bad"}).status_code == 501


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_text_is_read_aloud_by_tts(app: App, http: httpx.Client) -> None:
    app.extensions.enable("tts")
    client = openai.OpenAI(base_url=f"{http.base_url}/v1", api_key="none", max_retries=0)
    sound = client.audio.speech.create(model="tts-1", voice="alloy", input="good day", response_format="wav").content
    with wave.open(io.BytesIO(sound)) as file:
        seconds = file.getnframes() / file.getframerate()
    assert 0.3 < seconds < 10
    slow = http.post("/v1/audio/speech", json={"input": "good day", "speed": 0.5, "response_format": "pcm"})
    assert slow.headers["content-type"] == "audio/pcm" and len(slow.content) > len(sound)
    for body, words in (
        ({}, "'input' must be"),
        ({"input": "x", "response_format": "mp3"}, "'response_format' must be"),
        ({"input": "x", "speed": 9}, "'speed' must be"),
        ({"input": "x", "voice": "xx-nothing"}, "espeak-ng --voices"),
    ):
        refused = http.post("/v1/audio/speech", json=body)
        assert refused.status_code == 400 and words in refused.json()["error"]["message"]
