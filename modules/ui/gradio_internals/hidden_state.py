"""Values that a form keeps in the page without a `gr.State`.

Leans on what Gradio does with `visible="hidden"`: the textbox is drawn, so that its value is sent with each event, and
its `change` event fires when an event writes to it. With `visible=False` it would not be in the page.

For a `gr.State`, each tab would hold one of the six connections that browsers open to a host.
"""

from __future__ import annotations

from typing import Any

import gradio as gr


def hidden_state(value: str = "") -> gr.Textbox:
    """Return a hidden text. Use it as input and output of events, or let `gr.render` draw again when it changes."""
    return gr.Textbox(value, visible="hidden", container=False)


def send_to_script(event: str, **options: Any) -> gr.Textbox:
    """Return a hidden text whose every change is sent to the page's script as a DOM event named `event`.

    `options` are those of the Gradio event.
    """
    channel = hidden_state()
    script = f"(text) => {{ dispatchEvent(new CustomEvent('{event}', {{detail: text}})); }}"
    channel.change(None, channel, js=script, **options)
    return channel
