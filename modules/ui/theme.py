"""Gradio's theme in Paddock's colours, with fonts that the user's system has."""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils.colors import Color

_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Helvetica Neue", "Arial", "sans-serif")
_MONO = (
    "ui-monospace",
    "SF Mono",
    "Cascadia Mono",
    "Menlo",
    "Consolas",
    "Noto Sans Mono",
    "DejaVu Sans Mono",
    "monospace",
)

# The accent of dark pages is light.
_DARKER = "color-mix(in srgb, var(--accent) 70%, black)"


def paddock_theme() -> gr.themes.Base:
    """Return the theme: deep green on warm grey. static/tokens.css defines the colours."""
    green = Color(
        name="meadow",
        c50="#eef6f1",
        c100="#d8eade",
        c200="#b3d6c1",
        c300="#86bd9d",
        c400="#5ba27b",
        c500="#3d8560",
        c600="#2d6a4c",
        c700="#24563e",
        c800="#1d4532",
        c900="#163527",
        c950="#0b1f16",
    )
    theme = gr.themes.Base(
        primary_hue=green,
        secondary_hue=green,
        neutral_hue="stone",
        text_size="sm",
        spacing_size="sm",
        radius_size="md",
        font=_SANS,
        font_mono=_MONO,
    )
    return theme.set(
        body_background_fill="var(--ground)",
        body_background_fill_dark="var(--ground)",
        body_text_color="var(--ink)",
        body_text_color_dark="var(--ink)",
        body_text_color_subdued="var(--soft)",
        body_text_color_subdued_dark="var(--soft)",
        background_fill_primary="var(--surface)",
        background_fill_primary_dark="var(--surface)",
        background_fill_secondary="var(--ground)",
        background_fill_secondary_dark="var(--ground)",
        border_color_primary="var(--line)",
        border_color_primary_dark="var(--line)",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_title_text_weight="550",
        block_title_text_color="var(--ink)",
        block_title_text_color_dark="var(--ink)",
        block_info_text_color="var(--soft)",
        block_info_text_color_dark="var(--soft)",
        input_background_fill="var(--field)",
        input_background_fill_dark="var(--field)",
        input_placeholder_color="var(--soft)",
        input_placeholder_color_dark="var(--soft)",
        input_border_color="var(--line)",
        input_border_color_dark="var(--line)",
        input_border_color_focus="var(--accent)",
        input_border_color_focus_dark="var(--accent)",
        checkbox_background_color="var(--field)",
        checkbox_background_color_dark="var(--field)",
        checkbox_border_color="var(--soft)",
        checkbox_border_color_dark="var(--soft)",
        checkbox_background_color_selected="var(--accent)",
        # The mark in it is white in both.
        checkbox_background_color_selected_dark=_DARKER,
        checkbox_border_color_selected="var(--accent)",
        checkbox_border_color_selected_dark=_DARKER,
        color_accent="var(--accent)",
        color_accent_soft="var(--wash)",
        color_accent_soft_dark="var(--wash)",
        border_color_accent="var(--accent)",
        border_color_accent_dark="var(--accent)",
        link_text_color="var(--accent)",
        link_text_color_dark="var(--accent)",
        link_text_color_active="var(--accent)",
        link_text_color_active_dark="var(--accent)",
        link_text_color_hover="var(--accent-strong)",
        link_text_color_hover_dark="var(--accent-strong)",
        link_text_color_visited="var(--accent)",
        link_text_color_visited_dark="var(--accent)",
        button_primary_background_fill="var(--accent)",
        button_primary_background_fill_dark="var(--accent)",
        button_primary_background_fill_hover="var(--accent-strong)",
        button_primary_background_fill_hover_dark="var(--accent-strong)",
        button_primary_text_color="var(--on-accent)",
        button_primary_text_color_dark="var(--on-accent)",
        button_secondary_background_fill="var(--field)",
        button_secondary_background_fill_dark="var(--field)",
        button_secondary_background_fill_hover="var(--hover)",
        button_secondary_background_fill_hover_dark="var(--hover)",
        button_secondary_border_color="var(--line)",
        button_secondary_border_color_dark="var(--line)",
        slider_color="var(--accent)",
        slider_color_dark="var(--accent)",
    )
