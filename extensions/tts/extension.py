"""Reads the last reply aloud with espeak-ng: a small local engine, no network, no model."""

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
    """Fail with a sentence where there is no voice."""
    if shutil.which("espeak-ng") is None:
        raise PaddockError("espeak-ng is not installed")


def output_modifier(string: str, settings: Any) -> None:
    """Remember what there is to read."""
    _last.update(text=string, settings=settings)


def speak(text: str, settings: Any) -> tuple[int, Any]:
    """(samples a second, samples) of the text. It goes through stdin: nothing of it is a command."""
    command = ["espeak-ng", "--stdin", "--stdout", "-v", settings.voice.lstrip("-"), "-s", str(settings.speed)]
    answer = subprocess.run(command, input=text[:_LONGEST].encode(), capture_output=True, timeout=_SECONDS, check=True)
    # What streams has no length in its header, so the samples are what follows it.
    with wave.open(io.BytesIO(answer.stdout)) as sound:
        rate = sound.getframerate()
    samples = answer.stdout[44:]
    return rate, numpy.frombuffer(samples[: len(samples) // 2 * 2], dtype="<i2")


def ui() -> None:
    """A button and a player."""

    def read() -> tuple[int, Any]:
        if not _last["text"]:
            raise gr.Error("There is no reply to read yet.", print_exception=False)
        return speak(_last["text"], _last["settings"])

    with gr.Row():
        player = gr.Audio(label="Last reply", autoplay=True, interactive=False, elem_id="tts-player")
        gr.Button("Read the last reply", elem_id="tts-read").click(read, None, player)
