"""Sounds for a model on another server: passed on as data, if its model hears."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from modules.app import App
from modules.protocol.commands import Generate
from modules.protocol.errors import PromptError
from modules.settings.config import Config
from tests.conftest import ROOMY
from tests.loaders.test_remote_images import _near
from tests.support.server import serving
from tests.support.sounds import HIGH, LOW, mp3, tone
from tests.support.strange_server import Strange, models, strange


def _ask(app: App, sound: bytes) -> str:
    parts = [{"type": "text", "text": "Listen"}, {"type": "audio", "path": app.images.add_audio(sound)}]
    generation = app.supervisor.generate_chat(Generate("", messages=[{"role": "user", "content": parts}]))
    assert generation.wait(60)
    if generation.error:
        raise generation.error
    return generation.text


def test_another_paddock_says_whether_its_model_hears(app: App, config: Config, tmp_path: Path) -> None:
    app.models.load("tiny", "echo", {**ROOMY, "hears": True})
    with serving(app) as address, _near(config, tmp_path, address) as near:
        assert near.supervisor.loaded().audio_formats == ["wav", "mp3"]
        low, high, again = (_ask(near, tone(frequency)) for frequency in (LOW, HIGH, LOW))
        assert low.startswith("audio-") and low == again != high
    app.models.load("tiny", "echo", ROOMY)
    with serving(app) as address, _near(config, tmp_path, address) as near:
        assert not near.supervisor.loaded().audio_formats
        with pytest.raises(PromptError, match="does not hear"):
            _ask(near, tone())


@pytest.mark.parametrize(("sound", "format"), [(tone(), "wav"), (mp3(), "mp3")])
def test_a_server_that_does_not_say_gets_the_sound_as_data(
    config: Config, tmp_path: Path, sound: bytes, format: str
) -> None:
    def answer(request: Strange) -> None:
        request.texts("a tone")

    answers = {"/v1/models": models("m"), "/v1/chat/completions": answer}
    with strange(answers) as server, _near(config, tmp_path, server.address) as near:
        assert _ask(near, sound) == "a tone"
        (sent,) = (request.body for request in server.seen if request.path == "/v1/chat/completions")
        text, audio = sent["messages"][0]["content"]
        assert (text, audio["type"]) == ({"type": "text", "text": "Listen"}, "input_audio")
        assert audio["input_audio"]["format"] == format
        kept = Path(near.images.add_audio(sound)).read_bytes()
        assert base64.b64decode(audio["input_audio"]["data"]) == kept


def test_a_long_sound_counts_in_the_context(config: Config, tmp_path: Path) -> None:
    with (
        strange({"/v1/models": models("m")}) as server,
        _near(config, tmp_path, server.address, context=1024) as near,
        pytest.raises(PromptError, match="The prompt has 150. tokens, and the context takes 1024"),
    ):
        _ask(near, tone(0, seconds=60, rate=8000))


def test_a_setting_says_that_it_hears_nothing(config: Config, tmp_path: Path) -> None:
    with (
        strange({"/v1/models": models("m")}) as server,
        _near(config, tmp_path, server.address, audio="no") as near,
        pytest.raises(PromptError, match="does not hear"),
    ):
        _ask(near, tone())
