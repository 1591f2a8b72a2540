"""Turns recorded speech into text, for the microphone button of the page and for clients of /v1/audio/transcriptions.

Each recording is read in a separate process, which imports the engine. Nothing leaves this machine.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from paddock import ApiRequest, PaddockError

_SECONDS = 280
_MOST_MINUTES = 10
_FORMATS = ("json", "text", "verbose_json")
_RECOGNIZE = Path(__file__).with_name("recognize.py")
# The loader whose environment has Transformers.
_LOADER = "transformers"


def api_routes(settings: Any, host: Any) -> dict[str, Callable[[ApiRequest], Response]]:
    """Answer OpenAI's route for transcriptions."""
    return {"POST /v1/audio/transcriptions": lambda request: _transcriptions(request, settings, host)}


def _transcriptions(request: ApiRequest, settings: Any, host: Any) -> Response:
    try:
        fields, sound = _form(request)
        seconds = check_sound(sound)
        kind = fields.get("response_format") or "json"
        if kind not in _FORMATS:
            raise PaddockError(f"'response_format' must be one of {', '.join(_FORMATS)}.")
        text = transcribe(sound, settings, host, fields.get("language", ""))
    except PaddockError as error:
        return JSONResponse({"error": {"message": error.message, "type": "extension"}}, 400)
    if kind == "text":
        return PlainTextResponse(text)
    more = {"duration": seconds} if kind == "verbose_json" else {}
    return JSONResponse({"text": text, **more})


def _form(request: ApiRequest) -> tuple[dict[str, str], bytes]:
    """Return the fields of a multipart form and its file, or the body if the request is the file itself."""
    kind = next((value for name, value in request.headers.items() if name.lower() == "content-type"), "")
    if not kind.startswith("multipart/form-data"):
        return {}, request.body
    from python_multipart import create_form_parser
    from python_multipart.exceptions import FormParserError

    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}

    def keep(file: Any) -> None:
        file.file_object.seek(0)
        files[(file.field_name or b"").decode()] = file.file_object.read()

    try:
        parser = create_form_parser(
            {"Content-Type": kind.encode()},  # type: ignore[dict-item]
            lambda field: fields.update({(field.field_name or b"").decode(): (field.value or b"").decode()}),
            keep,
        )
        parser.write(request.body)
        parser.finalize()
    except (FormParserError, UnicodeDecodeError) as error:
        raise PaddockError("The form cannot be read. Send multipart/form-data with a field named file.") from error
    if "file" not in files:
        raise PaddockError("The form has no field named file. Send the recording in it, as a WAV file.")
    return fields, files["file"]


def check_sound(sound: bytes) -> float:
    """Return the length of a WAV file in seconds. Raise PaddockError if it cannot be used."""
    try:
        with wave.open(io.BytesIO(sound)) as file:
            seconds = file.getnframes() / file.getframerate()
            width = file.getsampwidth()
    except (wave.Error, EOFError, ZeroDivisionError) as error:
        raise PaddockError("The recording is not a WAV file. Convert it to WAV with 16 bits.") from error
    if width != 2:
        raise PaddockError(f"The recording has {width * 8} bits per sample. Convert it to 16 bits, then try again.")
    if seconds > _MOST_MINUTES * 60:
        raise PaddockError(f"The recording is longer than {_MOST_MINUTES} minutes. Send a shorter one.")
    return float(seconds)


def transcribe(sound: bytes, settings: Any, host: Any, language: str = "") -> str:
    """Return the words in a WAV file. Raises PaddockError."""
    order = {"engine": settings.engine, "language": language or settings.language, "model": ""}
    if settings.engine == "whisper":
        order["model"] = str(_whisper_model(settings.model, host))
        python, packages = _transformers_python(host), ""
    else:
        python, packages = sys.executable, str(_packages())
    head = json.dumps(order).encode() + b"\n"
    environment = {**os.environ, "PYTHONPATH": packages, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    try:
        answer = subprocess.run(
            [python, "-s", str(_RECOGNIZE)], input=head + sound, capture_output=True, timeout=_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise PaddockError("The recording was not understood in time. Send a shorter one.") from error
    if answer.returncode != 0:
        detail = answer.stderr.decode(errors="replace")[-4000:]
        raise PaddockError(
            f"{settings.engine} could not read the recording. The extension's card says more.", detail=detail
        )
    return str(json.loads(answer.stdout)["text"])


def _packages() -> Path:
    found = importlib.util.find_spec("pocketsphinx")
    if found is None or found.origin is None:
        raise PaddockError("PocketSphinx is not installed. Install it on the Extensions tab, on the card of Dictation.")
    return Path(found.origin).parents[1]


def _whisper_model(name: str, host: Any) -> Path:
    models = Path(host.app.paths.models).resolve()
    folder = (models / name).resolve()
    if not name or not folder.is_relative_to(models) or not (folder / "config.json").is_file():
        raise PaddockError(
            "Name the folder of a Whisper model in models/ in the settings of Dictation. It needs config.json and "
            "safetensors, as Transformers writes them."
        )
    return folder


def _transformers_python(host: Any) -> str:
    spec = host.app.registry.get(_LOADER)
    if not host.app.environments.status(spec).installed:
        raise PaddockError("Whisper runs in the environment of the Transformers loader, which is not installed.")
    return str(host.app.environments.python(spec))
