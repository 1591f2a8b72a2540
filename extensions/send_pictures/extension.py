"""Describes a picture in text for the next message. No loader of Paddock takes images yet, and the page says so.

The description is the user's caption and measured properties: size, brightness and main color.
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
    """Return the measured properties of a picture (PIL.Image): size, brightness and main color."""
    width, height = picture.size
    small = picture.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
    hue, saturation, value = ImageStat.Stat(small.convert("HSV")).median
    light = "dark" if value < 85 else "bright" if value > 170 else "of middle brightness"
    color = "with little color" if saturation < 40 else f"mostly {_HUES[int(hue * len(_HUES) / 256)]}"
    return f"{width} by {height} pixels, {light}, {color}"


def chat_input_modifier(text: str, visible_text: str) -> tuple[str, str] | None:
    """Put the captions in front of one message."""
    with _lock:
        captions, _waiting[:] = list(_waiting), []
    if not captions:
        return None
    description = "\n".join(f"[I show you a picture: {caption}]" for caption in captions)
    return f"{description}\n{text}", f"{description}\n\n{visible_text}"


def ui() -> None:
    """Add components to choose and describe a picture."""

    def attach(picture: Any, words: str) -> tuple[str, None, str]:
        if picture is None:
            raise gr.Error("Choose a picture first.", print_exception=False)
        caption = "; ".join(part for part in (words.strip(), describe(picture)) if part)
        with _lock:
            _waiting.append(caption)
        return f"Sent with your next message: {caption}", None, ""

    with gr.Accordion("Send a picture", open=False):
        note = gr.Markdown(
            "Models here do not receive the picture. They read your description of it.", elem_id="picture-note"
        )
        picture = gr.Image(type="pil", label="Picture", sources=["upload", "clipboard"], elem_id="picture")
        words = gr.Textbox(label="Description", elem_id="picture-words")
        gr.Button("Send with the next message", elem_id="picture-attach").click(
            attach, [picture, words], [note, picture, words]
        )
