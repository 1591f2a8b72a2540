"""Read a request for speech in the form of OpenAI's API, for extensions that answer /v1/audio/speech."""

from __future__ import annotations

from dataclasses import dataclass

from modules.plugins.extension_host import ApiRequest
from modules.protocol.errors import SettingError

_FORMATS = ("wav", "pcm")
_SLOWEST, _FASTEST = 0.25, 4.0


@dataclass(frozen=True)
class SpeechRequest:
    """What a client wants to hear. `format`: "wav" or "pcm"; `speed`: 1 is normal; `voice`: "" if none is named."""

    text: str
    format: str = "wav"
    speed: float = 1.0
    voice: str = ""


def read_speech_request(request: ApiRequest) -> SpeechRequest:
    """Return what the body asks for. Raise SettingError for a wrong value."""
    try:
        body = request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(text := body.get("input"), str) or not text.strip():
        raise SettingError("'input' must be the text to read. Send it as a JSON string.")
    form = body.get("response_format") or "wav"
    if form not in _FORMATS:
        raise SettingError(f"'response_format' must be one of {', '.join(_FORMATS)}. Other sound files are not made.")
    speed = 1 if body.get("speed") is None else body["speed"]
    # NaN is not in the range either. An integer may be too large for a float.
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not _SLOWEST <= speed <= _FASTEST:
        raise SettingError(f"'speed' must be a number from {_SLOWEST} to {_FASTEST:g}.")
    voice = body.get("voice") or ""
    if not isinstance(voice, str):
        raise SettingError("'voice' must be the name of a voice.")
    return SpeechRequest(text, form, float(speed), voice)
