"""Small sounds for tests, written without a library."""

from __future__ import annotations

import io
import math
import struct
import wave
from array import array

LOW, HIGH = 300.0, 2500.0
# Seconds of one frame of `mp3`.
MP3_FRAME = 1152 / 44_100


def tone(frequency: float = LOW, seconds: float = 1.0, rate: int = 16_000) -> bytes:
    """Return a WAV file with a tone: one channel of 16 bits. A frequency of 0 is silence."""
    count = int(seconds * rate)
    samples = array("h", [int(20_000 * math.sin(2 * math.pi * frequency * place / rate)) for place in range(count)])
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return file.getvalue()


def wav_of(samples: bytes, coding: int, channels: int, rate: int, width: int) -> bytes:
    """Return a WAV file with these samples, of any coding."""
    layout = struct.pack("<HHIIHH", coding, channels, rate, rate * channels * width, channels * width, width * 8)
    chunks = b"fmt " + struct.pack("<I", len(layout)) + layout + b"LIST\4\0\0\0note"
    chunks += b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def mp3(frames: int = 40, tag: bytes = b"") -> bytes:
    """Return an MP3 file of silence at 44.1 kHz and 128 kbit/s, after an ID3 tag with `tag` in it."""
    frame = b"\xff\xfb\x90\xc4" + bytes(413)
    head = b"ID3\4\0\0" + bytes([0, 0, len(tag) >> 7, len(tag) & 127]) + tag if tag else b""
    return head + frame * frames
