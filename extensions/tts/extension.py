"""Reads the last reply aloud with espeak-ng, a small local engine without network or model."""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from typing import Any

import gradio as gr
import numpy

from paddock import PaddockError

_SECONDS = 30
_LONGEST = 20_000
_last: dict[str, Any] = {"text": "", "settings": None}


def setup() -> None:
    """Raise PaddockError if espeak-ng is not installed."""
    if shutil.which("espeak-ng") is None:
        raise PaddockError("espeak-ng is not installed")


def output_modifier(string: str, settings: Any) -> None:
    """Store the reply and the settings."""
    _last.update(text=string, settings=settings)


def speak(text: str, settings: Any) -> tuple[int, Any]:
    """Return (samples per second, samples) of the text. It is passed through stdin, so that it cannot be a command."""
    command = ["espeak-ng", "--stdin", "--stdout", "-v", settings.voice.lstrip("-"), "-s", str(settings.speed)]
    answer = subprocess.run(command, input=text[:_LONGEST].encode(), capture_output=True, timeout=_SECONDS, check=True)
    # A streamed header has no length. The samples are all bytes after it.
    with wave.open(io.BytesIO(answer.stdout)) as sound:
        rate = sound.getframerate()
    samples = answer.stdout[44:]
    return rate, numpy.frombuffer(samples[: len(samples) // 2 * 2], dtype="<i2")


def ui() -> None:
    """Add a button and a player."""

    def read() -> tuple[int, Any]:
        if not _last["text"]:
            raise gr.Error("There is no reply to read yet. Send a message first.", print_exception=False)
        return speak(_last["text"], _last["settings"])

    with gr.Row():
        player = gr.Audio(label="Last reply", autoplay=True, interactive=False, elem_id="tts-player")
        gr.Button("Read the last reply", elem_id="tts-read").click(read, None, player)
