"""What a sound file is: its format and length, read from its headers."""

from __future__ import annotations

from dataclasses import dataclass

from modules.families.audio_file import MP3, WAV, AudioFileError, read_audio
from modules.protocol.errors import PaddockError

# Format -> MIME type. Files are stored with the format as their ending.
AUDIO_TYPES = {WAV: "audio/wav", MP3: "audio/mpeg"}
# Limits of one file, in bytes and in seconds.
MOST_BYTES = 25_000_000
MOST_SECONDS = 1800.0


@dataclass(frozen=True)
class AudioFacts:
    """A sound's format, such as "wav", and its length in seconds."""

    format: str
    seconds: float


def read_audio_facts(data: bytes, name: str, error: type[PaddockError]) -> AudioFacts:
    """Return the facts of a sound. `name`: what to call it. Raises `error` for one that no model gets."""
    if len(data) > MOST_BYTES:
        raise error(f"{name} has more than {MOST_BYTES // 1_000_000} MB. Send a shorter one, or save it as MP3.")
    try:
        found = read_audio(data)
    except AudioFileError as problem:
        raise error(f"{name} {problem.reason}") from None
    if found.seconds > MOST_SECONDS:
        raise error(f"{name} is longer than {MOST_SECONDS / 60:.0f} minutes. Send a part of it.")
    return AudioFacts(found.format, found.seconds)
