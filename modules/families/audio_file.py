"""What a WAV or MP3 file says about its sound: the format, the length and the samples' place. Standard library only."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.protocol.errors import PromptError

WAV, MP3 = "wav", "mp3"
# Tokens that models make of a second of sound: most encoders write 50 frames a second, and two become one token.
TOKENS_PER_SECOND = 25
# Codings of samples in WAV files that are read: whole numbers, and floating-point ones.
PCM, FLOAT = 1, 3
_EXTENSIBLE = 0xFFFE
_BYTES = {PCM: (1, 2, 3, 4), FLOAT: (4, 8)}
# Kilobits a second of MPEG layer III, for version 1 and for the others, by the index in a frame's header.
_RATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_LOW_RATES = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLE_RATES = (44_100, 48_000, 32_000)
# Version bits of a frame's header -> by what its sample rate is divided. 1 is reserved.
_DIVISORS = {3: 1, 2: 2, 0: 4}
# So many frames in a row are no accident.
_LEAST_FRAMES = 2
# Bytes before the first frame that are searched for it.
_SEARCHED = 65_536


class AudioFileError(ValueError):
    """A file that cannot be read. `reason` ends a sentence that begins with the file's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class AudioFile:
    """The sound of a file. `format`: "wav" or "mp3"; `first`, `end`: where its samples or frames are, in bytes.

    Of a WAV file: `coding` of its samples (PCM or FLOAT), `width` of one in bytes, `channels`.
    """

    format: str
    seconds: float
    sample_rate: int
    first: int
    end: int
    coding: int = PCM
    width: int = 2
    channels: int = 1


def audio_format(path: str) -> str:
    """Return the format that the ending of a path names, such as "wav"."""
    return path.rpartition(".")[2].lower()


def read_length(path: str) -> float:
    """Return the seconds of the sound at a path, which Paddock wrote. Raises PromptError for one that is gone."""
    try:
        return read_audio(Path(path).read_bytes()).seconds
    except (OSError, AudioFileError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise PromptError(f"A sound cannot be read ({reason}). Attach it again.") from None


def wrong_format(format: str, taken: Sequence[str], title: str = "This model") -> str:
    """Return the sentence for a sound in another format than those that a model takes."""
    names = " or ".join(name.upper() for name in taken)
    return f"{title} takes sound as {names}, not as {format.upper()}. Save it as {names} and attach it again."


def is_audio(data: bytes) -> bool:
    """Return True if a file begins as a WAV or MP3 file does."""
    return _is_wav(data) or data.startswith((b"ID3\2", b"ID3\3", b"ID3\4")) or _frame(data, 0) is not None


def read_audio(data: bytes) -> AudioFile:
    """Return what a file says about its sound. Raises AudioFileError."""
    if _is_wav(data):
        return _read_wav(data)
    if found := _read_mp3(data):
        return found
    raise AudioFileError("is no sound that can be read here. Send it as WAV or MP3.")


def _is_wav(data: bytes) -> bool:
    return data.startswith(b"RIFF") and data[8:12] == b"WAVE"


def _read_wav(data: bytes) -> AudioFile:
    place, layout = 12, (0, 0, 0, 0)
    while place + 8 <= len(data):
        name, size = data[place : place + 4], struct.unpack_from("<I", data, place + 4)[0]
        place += 8
        if name == b"fmt " and place + 16 <= len(data):
            coding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, place)
            if coding == _EXTENSIBLE and place + 26 <= len(data):
                (coding,) = struct.unpack_from("<H", data, place + 24)
            layout = coding, channels, rate, bits // 8
        elif name == b"data":
            return _wav(place, min(place + size, len(data)), *layout)
        place += size + size % 2
    raise AudioFileError("is damaged: it has no samples. Save it again in the program that made it.")


def _wav(first: int, end: int, coding: int, channels: int, rate: int, width: int) -> AudioFile:
    if width not in _BYTES.get(coding, ()) or not 1 <= channels <= 32 or not 1000 <= rate <= 192_000:
        raise AudioFileError("has samples of an unknown kind. Save it as WAV with 16 bits (PCM), or as MP3.")
    frames = (end - first) // (width * channels)
    if not frames:
        raise AudioFileError("has no sound in it. Send another one.")
    return AudioFile(WAV, frames / rate, rate, first, first + frames * width * channels, coding, width, channels)


def _read_mp3(data: bytes) -> AudioFile | None:
    # Files that were joined or damaged have tags or other bytes between frames: decoders go on behind them.
    first = end = rate = 0
    seconds, place = 0.0, _after_tag(data)
    last = place + _SEARCHED
    while 0 <= place < min(last, len(data)):
        behind, count, took, hertz = place, 0, 0.0, 0
        while (frame := _frame(data, behind)) and behind + frame[0] <= len(data):
            behind, count, took, hertz = behind + frame[0], count + 1, took + frame[1] / frame[2], frame[2]
        if count >= _LEAST_FRAMES:
            first, end, seconds, rate = first if seconds else place, behind, seconds + took, hertz
            place, last = behind, behind + _SEARCHED
        else:
            place = data.find(b"\xff", place + 1)
    return AudioFile(MP3, seconds, rate, first, end) if seconds else None


def _after_tag(data: bytes) -> int:
    """Return where an ID3 tag at the beginning ends. Its size has seven bits in each byte."""
    if not data.startswith(b"ID3") or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _frame(data: bytes, place: int) -> tuple[int, int, int] | None:
    """Return (bytes, samples, sample rate) of the MPEG layer III frame at a place; None if there is none."""
    if place + 4 > len(data) or data[place] != 0xFF or data[place + 1] & 0xE6 != 0xE2:
        return None
    version, rates, sample_rates = data[place + 1] >> 3 & 3, data[place + 2] >> 4, data[place + 2] >> 2 & 3
    if version not in _DIVISORS or not 0 < rates < len(_RATES) or sample_rates >= len(_SAMPLE_RATES):
        return None
    rate = _SAMPLE_RATES[sample_rates] // _DIVISORS[version]
    samples, kilobits = (1152, _RATES[rates]) if version == 3 else (576, _LOW_RATES[rates])
    return samples // 8 * kilobits * 1000 // rate + (data[place + 2] >> 1 & 1), samples, rate
