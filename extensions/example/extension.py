"""Every hook of Paddock once, each doing as little as shows when it runs. Copy the folder, delete what you do not need.

Hooks take, by name, those arguments that they need. The reference is docs/extensions.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from paddock import setting

# Title and place on the page. With "is_tab": True the components of `ui` get a view beside Chat and Notebook.
params = {"display_name": "Example", "is_tab": False}


@dataclass(frozen=True)
class Settings:
    """What the user may set, on the Extensions tab. Hooks get an instance as `settings`."""

    active: bool = setting(False, label="Change texts", help="Off: the hooks run and change nothing.")
    ending: str = setting(" (said the example)", label="Ending", help="Added to each reply.")
    least: int = setting(1, label="Least words", minimum=1, maximum=50, help="Shorter messages are left alone.")


def setup(host: Any) -> None:
    """Once, when the extension is switched on. `host.data` is a folder of its own to write to."""
    print(f"The example is on, and may write to {host.data.name}/.")


def teardown() -> None:
    """Once, when it is switched off, or Paddock ends."""
    print("The example is off.")


def history_modifier(history: dict[str, Any]) -> dict[str, Any]:
    """A copy of the chat before this turn, as pairs of [user, reply]."""
    return history


def state_modifier(state: dict[str, Any], settings: Settings) -> None:
    """Sampling parameters, names and the system message of this turn. Changed in place, so nothing is returned."""
    if settings.active:
        state["temperature"] = min(state["temperature"], 1.0)


def chat_input_modifier(text: str, visible_text: str) -> tuple[str, str]:
    """A message: for the prompt, and as the page shows it."""
    return text, visible_text


def input_modifier(string: str, settings: Settings) -> str:
    """A message for the prompt alone."""
    return f"{string}." if settings.active and len(string.split()) >= settings.least else string


def custom_generate_chat_prompt(user_input: str, state: dict[str, Any], history: dict[str, Any]) -> str | None:
    """The whole prompt; None leaves it to the model's chat template."""
    return None


def custom_tokenized_length(prompt: str) -> int | None:
    """How many tokens a prompt has; None leaves the counting to the model's tokenizer."""
    return None


def bot_prefix_modifier(string: str) -> str:
    """What the reply begins with."""
    return string


def custom_generate_reply(question: str) -> None:
    """A reply in place of the model's; None lets the model answer."""
    return


def stream_modifier(text: str, shown: str, final: bool) -> str:
    """Text as it arrives: what is returned is let through."""
    return text


def output_modifier(string: str, settings: Settings) -> str:
    """The whole reply, as the page will show it."""
    return string + settings.ending if settings.active else string


def custom_css() -> str:
    """Styles for the page."""
    return "#example-note { opacity: 0.8 }"


def custom_js() -> str:
    """A script for the page, in a function of its own."""
    return "document.body.dataset.example = 'on';"


def ui() -> None:
    """Components, and what they do."""
    with gr.Accordion("Example", open=False):
        note = gr.Markdown("Nothing was asked yet.", elem_id="example-note")
        gr.Button("What time is it?").click(lambda: time.strftime("It is %H:%M."), None, note)


def tools() -> list[dict[str, Any]]:
    """Functions for models that call tools, and for clients: POST /extensions/example/tools/time."""
    return [{"name": "time", "description": "The time of day.", "call": lambda: time.strftime("%H:%M")}]


def api_routes() -> dict[str, Callable[[Any], Any]]:
    """Routes: GET /extensions/example/hello?who=you."""
    return {"GET hello": lambda request: {"hello": request.query.get("who", "world")}}
