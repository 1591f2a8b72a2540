"""The shipped extension Dictation: what it takes, and what PocketSphinx hears of a voice made by espeak-ng."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import subprocess
import sys
import wave
from array import array
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from modules.plugins import requirements
from modules.plugins.extension_host import ApiRequest
from modules.protocol.errors import PaddockError
from tests.plugins.conftest import Place

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "extensions" / "dictation"
SETTINGS = SimpleNamespace(engine="pocketsphinx", model="", language="")


def load(name: str) -> ModuleType:
    """Import one file of the extension."""
    spec = importlib.util.spec_from_file_location(f"dictation_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wav(samples: array[int], rate: int = 16_000, channels: int = 1) -> bytes:
    """Return samples as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(samples.tobytes())
    return file.getvalue()


def multipart(**fields: bytes) -> ApiRequest:
    """Return a request with these fields, as OpenAI's client sends them. `file` is a file."""
    parts = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        % (name.encode(), b'; filename="a.wav"' if name == "file" else b"", value)
        for name, value in fields.items()
    )
    head = {"content-type": "multipart/form-data; boundary=x"}
    return ApiRequest("POST", "/v1/audio/transcriptions", {}, head, parts + b"--x--\r\n")


def answer(request: ApiRequest, **settings: str) -> tuple[int, Any]:
    """Return the status and the JSON of the extension's answer."""
    chosen = SimpleNamespace(**{**vars(SETTINGS), **settings})
    host = SimpleNamespace(app=SimpleNamespace(paths=SimpleNamespace(models=ROOT / "models")))
    response = load("extension").api_routes(chosen, host)["POST /v1/audio/transcriptions"](request)
    return response.status_code, json.loads(response.body)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (multipart(file=b"no sound"), "not a WAV file"),
        (multipart(model=b"whisper-1"), "no field named file"),
        (multipart(file=wav(array("h", [0])), response_format=b"srt"), "must be one of json, text, verbose_json"),
        (
            ApiRequest("POST", "/v1/audio/transcriptions", {}, {}, wav(array("h", bytes(2 * 8000 * 601)), 8000)),
            "longer",
        ),
    ],
    ids=["no-sound", "no-file", "format", "long"],
)
def test_what_cannot_be_heard_is_refused_with_a_sentence(request_: ApiRequest, reason: str) -> None:
    status, body = answer(request_)
    assert status == 400 and reason in body["error"]["message"]


@pytest.mark.parametrize("name", ["", "../..", "demo.Q8_0.gguf"])
def test_whisper_needs_a_model_in_its_folder(name: str) -> None:
    status, body = answer(multipart(file=wav(array("h", [0] * 160))), engine="whisper", model=name)
    assert status == 400 and "Whisper model in models/" in body["error"]["message"]


def test_sound_is_mixed_and_brought_to_16000_samples() -> None:
    recognize = load("recognize")
    stereo = array("h", [100, 300] * 44_100)
    samples = recognize.read_sound(wav(stereo, 44_100, 2))
    assert len(samples) == 16_000 and set(samples) == {200}


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_pocketsphinx_hears_words_in_its_own_process_and_packages(tmp_path: Path) -> None:
    place = Place(tmp_path)
    shutil.copytree(FOLDER, place.root / "dictation")
    source = place.manager.find("dictation")
    with pytest.raises(PaddockError, match="needs packages that are not installed: pocketsphinx"):
        place.manager.enable("dictation", source.sha256)
    packages = tmp_path / "packages" / "dictation"
    try:
        requirements.install(source.manifest.requirements, packages)
    except PaddockError as error:
        pytest.skip(f"pocketsphinx cannot be installed here: {error.message}")
    sound = tmp_path / "said.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "130", "-w", sound, "go forward ten meters"], check=True)
    try:
        place.manager.enable("dictation", source.sha256)
        running = place.manager.running.get("dictation")
        assert running is not None
        reply = running.routes["POST v1/audio/transcriptions"](multipart(file=sound.read_bytes()))
        assert json.loads(reply.body)["text"].startswith("go forward")
        assert "pocketsphinx" not in sys.modules
    finally:
        place.manager.close()
