"""The fixed markup of the page, which the scripts in static/ fill. No text from outside passes through here."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from modules.system.version import VERSION

_FOLDER = Path(__file__).parent / "fragments"


def markup(name: str) -> str:
    """The fragment of that name."""
    return (_FOLDER / f"{name}.html").read_text(encoding="utf-8").replace("{{version}}", VERSION)


def place(name: str, elem_id: str) -> gr.HTML:
    """Put a fragment into the Blocks that are being built."""
    return gr.HTML(markup(name), elem_id=elem_id, apply_default_css=False)
