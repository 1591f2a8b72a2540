"""Reads replies with a voice of Piper, for the speaker buttons of the page and for clients of /v1/audio/speech.

Each text is read in a separate process, which imports Piper and its ONNX runtime.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, Response

from paddock import ApiRequest, PaddockError, read_speech_request

_SECONDS = 110
_LONGEST = 20_000
_HEADER = 44
_SPEAK = Path(__file__).with_name("speak.py")


def api_routes(settings: Any) -> dict[str, Callable[[ApiRequest], Response]]:
    """Answer OpenAI's route for speech."""
    return {"POST /v1/audio/speech": lambda request: _speech(request, settings)}


def _speech(request: ApiRequest, settings: Any) -> Response:
    try:
        asked = read_speech_request(request)
        sound = speak(asked.text, settings.voice, settings.speed * asked.speed)
    except PaddockError as error:
        return _refusal(error.message)
    return Response(sound if asked.format == "wav" else sound[_HEADER:], media_type=f"audio/{asked.format}")


def speak(text: str, voice: str, speed: float) -> bytes:
    """Return a text as a WAV file. Raises PaddockError."""
    path = Path(voice).expanduser()
    if not voice or not path.is_file() or not path.with_name(f"{path.name}.json").is_file():
        raise PaddockError(
            "Piper needs a voice. Get the two files of one, such as en_US-lessac-medium.onnx and "
            "en_US-lessac-medium.onnx.json, and write the path of the first into the settings of this extension."
        )
    found = importlib.util.find_spec("piper")
    if found is None or found.origin is None:
        raise PaddockError("Piper is not installed. Install its packages on the Extensions tab, on the card of Piper.")
    order = json.dumps({"voice": str(path), "speed": speed, "text": text[:_LONGEST]}).encode()
    environment = {**os.environ, "PYTHONPATH": str(Path(found.origin).parents[1])}
    try:
        answer = subprocess.run(
            [sys.executable, "-s", str(_SPEAK)], input=order, capture_output=True, timeout=_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise PaddockError("Piper did not read this in time. Read a shorter text.") from error
    if answer.returncode != 0:
        detail = answer.stderr.decode(errors="replace")[-4000:]
        raise PaddockError(f"Piper could not read this with {path.name}. Try another voice.", detail=detail)
    return answer.stdout


def _refusal(message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "extension"}}, 400)
