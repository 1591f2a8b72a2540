"""Requests for speech: read alike by all extensions that answer them, and refused with a sentence."""

from __future__ import annotations

import json

import pytest

from paddock import ApiRequest, SettingError, SpeechRequest, read_speech_request


def _read(body: bytes) -> SpeechRequest:
    return read_speech_request(ApiRequest("POST", "/v1/audio/speech", body=body))


def test_what_a_client_leaves_out_has_its_usual_value() -> None:
    assert _read(b'{"input": "Good day.", "speed": null}') == SpeechRequest("Good day.")
    whole = {"input": "x", "response_format": "pcm", "speed": 2, "voice": "nova", "model": "tts-1"}
    assert _read(json.dumps(whole).encode()) == SpeechRequest("x", "pcm", 2.0, "nova")


@pytest.mark.parametrize("speed", ["0", "-1", "5", "true", '"2"', "NaN", "1e999", "1" + "0" * 400, "[1]"])
def test_a_wrong_speed_is_refused(speed: str) -> None:
    with pytest.raises(SettingError, match="'speed' must be a number from 0.25 to 4"):
        _read(f'{{"input": "x", "speed": {speed}}}'.encode())


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"input": " "}', b'{"input": 5}', b'{"input": "x", "response_format": "mp3"}']
    + [b'{"input": "x", "response_format": ["wav"]}', b'{"input": "x", "voice": 5}'],
)
def test_other_wrong_values_are_refused(body: bytes) -> None:
    with pytest.raises(SettingError):
        _read(body)
