"""The fields of the Session tab for colours and sizes of the page."""

from __future__ import annotations

from typing import Any

import gradio as gr

from modules.ui.look import DEFAULT, NORMAL, THEMES, read_colour

_TEXT_SIZES = [("Small", "small"), ("Normal", NORMAL), ("Large", "large"), ("Larger", "larger")]
_WIDTHS = [("Narrow", "narrow"), ("Normal", NORMAL), ("Wide", "wide"), ("Full", "full")]
_CORNERS = [("Square", "square"), ("Normal", NORMAL), ("Round", "round")]
# Each field's key in the settings, and its value while the settings have none.
DEFAULTS = {
    "colours": DEFAULT,
    "accent": "",
    "background": "",
    "text_size": NORMAL,
    "chat_width": NORMAL,
    "corners": NORMAL,
}


def draw() -> dict[str, Any]:
    """Draw one field for each key of `DEFAULTS`, in a fold."""
    fields: dict[str, Any] = {}
    with gr.Accordion("Colours and sizes", open=False, elem_classes=["fold"], elem_id="session-look"):
        fields["colours"] = gr.Radio(
            [(theme.title, name) for name, theme in THEMES.items()],
            label="Colours",
            value=DEFAULT,
            elem_id="session-colours",
        )
        with gr.Row(elem_classes=["tight"]):
            fields["accent"] = gr.Textbox(
                label="Own accent", placeholder="#2d6a4c", elem_id="session-accent", min_width=120
            )
            fields["background"] = gr.Textbox(
                label="Own background", placeholder="#f6f4ee", elem_id="session-background", min_width=120
            )
        fields["text_size"] = gr.Radio(_TEXT_SIZES, label="Text size", value=NORMAL, elem_id="session-text-size")
        fields["chat_width"] = gr.Radio(_WIDTHS, label="Width of the chat", value=NORMAL, elem_id="session-chat-width")
        fields["corners"] = gr.Radio(_CORNERS, label="Corners", value=NORMAL, elem_id="session-corners")
    return fields


def check(key: str, value: object) -> None:
    """Raise PaddockError if a field has a value that it cannot have."""
    if key in ("accent", "background") and value:
        read_colour(str(value))
