"""A process that turns one recording into text: a line of JSON and a WAV file on stdin, JSON on stdout.

PocketSphinx and Whisper both want 16,000 samples per second in one channel.
"""

from __future__ import annotations

import array
import io
import json
import os
import sys
import wave

RATE = 16_000


def read_sound(data: bytes) -> array.array[int]:
    """Return the samples of a WAV file of 16 bits, mixed to one channel at RATE."""
    with wave.open(io.BytesIO(data)) as file:
        channels, rate = file.getnchannels(), file.getframerate()
        samples = array.array("h", file.readframes(file.getnframes()))
    if sys.byteorder == "big":
        samples.byteswap()
    if channels > 1:
        whole = len(samples) // channels * channels
        samples = array.array("h", (sum(samples[at : at + channels]) // channels for at in range(0, whole, channels)))
    return samples if rate == RATE else resampled(samples, rate)


def resampled(samples: array.array[int], rate: int) -> array.array[int]:
    """Return the samples at RATE, with the mean of the samples that one new sample covers."""
    count = len(samples) * RATE // rate
    step = rate / RATE
    made = array.array("h")
    for index in range(count):
        begin, end = int(index * step), max(int((index + 1) * step), int(index * step) + 1)
        part = samples[begin:end]
        made.append(sum(part) // len(part))
    return made


def pocketsphinx(samples: array.array[int]) -> str:
    """Return the words that PocketSphinx hears, with its own English model."""
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=RATE, loglevel="FATAL")
    decoder.start_utt()
    decoder.process_raw(samples.tobytes(), full_utt=True)
    decoder.end_utt()
    heard = decoder.hyp()
    return heard.hypstr if heard else ""


def whisper(samples: array.array[int], folder: str, language: str) -> str:
    """Return the words that a Whisper model in Transformers' format hears."""
    import numpy
    from transformers import pipeline

    recognizer = pipeline("automatic-speech-recognition", model=folder, chunk_length_s=30, local_files_only=True)
    sound = {"raw": numpy.frombuffer(samples.tobytes(), dtype="<i2").astype("float32") / 32768, "sampling_rate": RATE}
    options = {"language": language, "task": "transcribe"} if language else {}
    return str(recognizer(sound, generate_kwargs=options)["text"])


def main() -> None:
    """Answer on the real stdout. What an engine prints goes to stderr."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    order = json.loads(sys.stdin.buffer.readline())
    samples = read_sound(sys.stdin.buffer.read())
    if order["engine"] == "whisper":
        text = whisper(samples, order["model"], order["language"])
    else:
        text = pocketsphinx(samples)
    with answer:
        json.dump({"text": text.strip()}, answer)


if __name__ == "__main__":
    main()
