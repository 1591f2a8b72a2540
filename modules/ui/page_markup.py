"""The fixed markup of the page, which the scripts in static/ fill. It contains no text from outside."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from modules.system.version import VERSION

_FOLDER = Path(__file__).parent / "fragments"


def markup(name: str) -> str:
    """Return the fragment of that name, with Paddock's version filled in."""
    return (_FOLDER / f"{name}.html").read_text(encoding="utf-8").replace("{{version}}", VERSION)


def add_markup(name: str, elem_id: str) -> gr.HTML:
    """Add a fragment to the Blocks that are being built."""
    return gr.HTML(markup(name), elem_id=elem_id, apply_default_css=False)
