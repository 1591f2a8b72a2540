"""Reads the last reply aloud with espeak-ng, a small local engine without network or model.

It also answers /v1/audio/speech, as in OpenAI's API.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy
from starlette.responses import JSONResponse, Response

from paddock import ApiRequest, PaddockError, read_speech_request

_SECONDS = 30
_LONGEST = 20_000
_HEADER = 44
# espeak-ng has other voices than OpenAI, so these mean the voice of the settings.
_OPENAI = "alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse"
_last: dict[str, Any] = {"text": "", "settings": None}


def setup() -> None:
    """Raise PaddockError if espeak-ng is not installed."""
    if shutil.which("espeak-ng") is None:
        raise PaddockError("espeak-ng is not installed")


def output_modifier(string: str, settings: Any) -> None:
    """Store the reply and the settings."""
    _last.update(text=string, settings=settings)


def speak(text: str, settings: Any) -> tuple[int, Any]:
    """Return (samples per second, samples) of the text."""
    rate, samples = _samples(text, settings.voice, settings.speed)
    return rate, numpy.frombuffer(samples, dtype="<i2")


def _samples(text: str, voice: str, speed: int) -> tuple[int, bytes]:
    """Return (samples per second, 16-bit samples). The text goes through stdin, so that it cannot be a command."""
    command = ["espeak-ng", "--stdin", "--stdout", "-v", voice.lstrip("-"), "-s", str(speed)]
    answer = subprocess.run(command, input=text[:_LONGEST].encode(), capture_output=True, timeout=_SECONDS, check=True)
    # A streamed header has no length. The samples are all bytes after it.
    with wave.open(io.BytesIO(answer.stdout)) as sound:
        rate = sound.getframerate()
    samples = answer.stdout[_HEADER:]
    return rate, samples[: len(samples) // 2 * 2]


def api_routes(settings: Any) -> dict[str, Callable[[ApiRequest], Response]]:
    """Answer OpenAI's route for speech."""
    return {"POST /v1/audio/speech": lambda request: _speech(request, settings)}


def _speech(request: ApiRequest, settings: Any) -> Response:
    try:
        asked = read_speech_request(request)
    except PaddockError as error:
        return _refusal(error.message)
    voice = asked.voice if asked.voice and asked.voice not in _OPENAI.split() else settings.voice
    try:
        rate, samples = _samples(asked.text, voice, round(settings.speed * asked.speed))
    except subprocess.SubprocessError:
        return _refusal(f"espeak-ng cannot read this with the voice {voice[:100]!r}. Choose one of espeak-ng --voices.")
    sound = _wav(rate, samples) if asked.format == "wav" else samples
    return Response(sound, media_type=f"audio/{asked.format}")


def _wav(rate: int, samples: bytes) -> bytes:
    """Return a WAV file with one channel."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(samples)
    return file.getvalue()


def _refusal(message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "extension"}}, 400)


def ui() -> None:
    """Add a button and a player."""

    def read() -> tuple[int, Any]:
        if not _last["text"]:
            raise gr.Error("There is no reply to read yet. Send a message first.", print_exception=False)
        return speak(_last["text"], _last["settings"])

    with gr.Row():
        player = gr.Audio(label="Last reply", autoplay=True, interactive=False, elem_id="tts-player")
        gr.Button("Read the last reply", elem_id="tts-read").click(read, None, player)
