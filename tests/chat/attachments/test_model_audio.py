"""WAV files are written again before a model gets them: one channel of 16 bits at 16 kHz. MP3 files lose their tags."""

from __future__ import annotations

import math
import struct
import wave
from pathlib import Path

import numpy as np
import pytest

from modules.chat.attachments.model_images import AudioError, ModelImages
from modules.families.audio_file import FLOAT, PCM
from tests.support.sounds import mp3, tone, wav_of


@pytest.fixture
def files(tmp_path: Path) -> ModelImages:
    return ModelImages(tmp_path / "files")


def _read(path: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the samples of a file as models get it. [samples]"""
    with wave.open(path) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def _loudest(samples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Return the loudest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * 16_000 / len(samples))


def _samples(coding: int, width: int, channels: int, rate: int, frequency: float) -> bytes:
    """Return half a second of a tone at half of the loudness."""
    packed = bytearray()
    for place in range(rate // 2):
        value = 0.5 * math.sin(2 * math.pi * frequency * place / rate)
        if coding == FLOAT:
            one = struct.pack("<f" if width == 4 else "<d", value)
        elif width == 1:
            one = bytes([round(128 + 127 * value)])
        else:
            one = round(value * (2 ** (8 * width - 1) - 1)).to_bytes(width, "little", signed=True)
        packed += one * channels
    return bytes(packed)


@pytest.mark.parametrize(
    ("coding", "width", "channels", "rate"),
    [
        (PCM, 2, 1, 16_000),
        (PCM, 1, 1, 8000),
        (PCM, 2, 2, 44_100),
        (PCM, 3, 1, 48_000),
        (PCM, 4, 6, 22_050),
        (FLOAT, 4, 2, 96_000),
        (FLOAT, 8, 1, 11_025),
    ],
)
def test_every_kind_of_wav_keeps_its_tone(
    files: ModelImages, coding: int, width: int, channels: int, rate: int
) -> None:
    samples = _samples(coding, width, channels, rate, 1000.0)
    found = _read(files.add_audio(wav_of(samples, coding, channels, rate, width)))
    assert len(found) == pytest.approx(8000, abs=2)
    assert _loudest(found) == pytest.approx(1000, abs=5)
    assert np.max(np.abs(found)) == pytest.approx(0.5, abs=0.02)


def test_a_tone_above_the_half_of_the_rate_does_not_become_a_lower_one(files: ModelImages) -> None:
    high = wav_of(_samples(PCM, 2, 1, 48_000, 10_000.0), PCM, 1, 48_000, 2)
    assert np.max(np.abs(_read(files.add_audio(high))[200:-200])) < 0.01


def test_a_tone_of_a_telephone_gets_no_mirror_image(files: ModelImages) -> None:
    found = _read(files.add_audio(wav_of(_samples(PCM, 2, 1, 8000, 3000.0), PCM, 1, 8000, 2)))[200:-200]
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found))))
    mirror = spectrum[round(5000 * len(found) / 16_000)]
    assert mirror < 0.01 * spectrum.max()


def test_an_mp3_file_is_passed_on_without_its_tag(files: ModelImages) -> None:
    path = Path(files.add_audio(mp3(tag=b"secret notes")))
    assert path.suffix == ".mp3" and path.read_bytes() == mp3()
    assert files.add_audio(mp3(tag=b"secret notes")) == str(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no sound", "a.wav is no sound that can be read here. Send it as WAV or MP3."),
        (tone()[:20], "a.wav is damaged"),
        (wav_of(bytes(1900 * 1000), PCM, 1, 1000, 1), "a.wav is longer than 30 minutes. Send a part of it."),
        (tone() + bytes(25_000_000), "a.wav has more than 25 MB. Send a shorter one, or save it as MP3."),
    ],
)
def test_what_no_model_gets_is_a_sentence(files: ModelImages, data: bytes, words: str) -> None:
    with pytest.raises(AudioError) as refused:
        files.add_audio(data, "a.wav")
    assert refused.value.message.startswith(words)


def test_values_that_are_no_numbers_become_silence(files: ModelImages) -> None:
    samples = struct.pack("<f", math.nan) * 800 + struct.pack("<f", 9.0) * 800
    found = _read(files.add_audio(wav_of(samples, FLOAT, 1, 16_000, 4)))
    assert np.all(found[:800] == 0) and np.all(found[800:] > 0.99)


def test_a_file_in_a_folder_is_read_like_one_in_memory(files: ModelImages, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(tone())
    assert files.add_file(tmp_path / "a.wav", audio=True) == files.add_audio(tone())
    with pytest.raises(AudioError, match="gone.wav cannot be read"):
        files.add_file(tmp_path / "gone.wav", audio=True)
