from __future__ import annotations
import gradio as gr
def draw(app, page):
    gr.Markdown("soon")
