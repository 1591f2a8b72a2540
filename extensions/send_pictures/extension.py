"""A picture for the next message, as a caption: no loader of Paddock takes images yet, and this says so.

What is measured (size, brightness, main color) is true; what is on it the user writes.
"""

from __future__ import annotations

import threading
from typing import Any

import gradio as gr
from PIL import Image, ImageStat

_HUES = ("red", "orange", "yellow", "green", "cyan", "blue", "violet", "magenta")
_waiting: list[str] = []
_lock = threading.Lock()


def describe(picture: Any) -> str:
    """What can be measured of a picture (PIL.Image): its size, brightness and main color."""
    width, height = picture.size
    small = picture.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
    hue, saturation, value = ImageStat.Stat(small.convert("HSV")).median
    light = "dark" if value < 85 else "bright" if value > 170 else "of middle brightness"
    color = "with little color" if saturation < 40 else f"mostly {_HUES[int(hue * len(_HUES) / 256)]}"
    return f"{width} by {height} pixels, {light}, {color}"


def chat_input_modifier(text: str, visible_text: str) -> tuple[str, str] | None:
    """The caption goes in front of the message, once."""
    with _lock:
        captions, _waiting[:] = list(_waiting), []
    if not captions:
        return None
    told = "\n".join(f"[I show you a picture: {caption}]" for caption in captions)
    return f"{told}\n{text}", f"{told}\n\n{visible_text}"


def ui() -> None:
    """Choose a picture and say what is on it."""

    def attach(picture: Any, words: str) -> tuple[str, None, str]:
        if picture is None:
            raise gr.Error("Choose a picture first.", print_exception=False)
        caption = "; ".join(part for part in (words.strip(), describe(picture)) if part)
        with _lock:
            _waiting.append(caption)
        return f"Goes with your next message: {caption}", None, ""

    with gr.Accordion("Send a picture", open=False):
        note = gr.Markdown("No model here sees pictures: it reads what you write about them.", elem_id="picture-note")
        picture = gr.Image(type="pil", label="Picture", sources=["upload", "clipboard"], elem_id="picture")
        words = gr.Textbox(label="What is on it", elem_id="picture-words")
        gr.Button("Send with the next message", elem_id="picture-attach").click(
            attach, [picture, words], [note, picture, words]
        )
