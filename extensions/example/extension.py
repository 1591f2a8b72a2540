"""Shows every hook of Paddock once, with minimal code. Copy the folder and delete the hooks that you do not need.

Hooks take only the arguments that they need, by name. The reference is docs/extensions.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from paddock import setting

# Title and place on the page. With "is_tab": True, the components of `ui` get a tab beside Chat and Notebook.
params = {"display_name": "Example", "is_tab": False}


@dataclass(frozen=True)
class Settings:
    """Settings on the Extensions tab. Hooks receive an instance as `settings`."""

    active: bool = setting(False, label="Change texts", help="Off: the hooks run but change nothing.")
    ending: str = setting(" (said the example)", label="Ending", help="Added to each reply.")
    least: int = setting(1, label="Minimum words", minimum=1, maximum=50, help="Shorter messages are not changed.")


def setup(host: Any) -> None:
    """Run once when the extension is switched on. It may write to the folder `host.data`."""
    print(f"The example is on and may write to {host.data.name}/.")


def teardown() -> None:
    """Run once when the extension is switched off or Paddock ends."""
    print("The example is off.")


def history_modifier(history: dict[str, Any]) -> dict[str, Any]:
    """Return the chat before this turn, as pairs of [user, reply]. `history` is a copy."""
    return history


def state_modifier(state: dict[str, Any], settings: Settings) -> None:
    """Change sampling parameters, names and the system message of this turn in place."""
    if settings.active:
        state["temperature"] = min(state["temperature"], 1.0)


def chat_input_modifier(text: str, visible_text: str) -> tuple[str, str]:
    """Return a message as the prompt contains it and as the page shows it."""
    return text, visible_text


def input_modifier(string: str, settings: Settings) -> str:
    """Return a message as the prompt contains it."""
    return f"{string}." if settings.active and len(string.split()) >= settings.least else string


def custom_generate_chat_prompt(user_input: str, state: dict[str, Any], history: dict[str, Any]) -> str | None:
    """Return the whole prompt. None: use the model's chat template."""
    return None


def custom_tokenized_length(prompt: str) -> int | None:
    """Return the number of tokens in a prompt. None: use the model's tokenizer."""
    return None


def bot_prefix_modifier(string: str) -> str:
    """Return the text that the reply starts with."""
    return string


def custom_generate_reply(question: str) -> None:
    """Return a reply instead of the model's. None: let the model answer."""
    return


def stream_modifier(text: str, shown: str, final: bool) -> str:
    """Return the text to show of the text that arrives."""
    return text


def output_modifier(string: str, settings: Settings) -> str:
    """Return the whole reply as the page shows it."""
    return string + settings.ending if settings.active else string


def custom_css() -> str:
    """Return styles for the page."""
    return "#example-note { opacity: 0.8 }"


def custom_js() -> str:
    """Return a script for the page. It runs in a separate function."""
    return "document.body.dataset.example = 'on';"


def ui() -> None:
    """Add components and their events to the page."""
    with gr.Accordion("Example", open=False):
        note = gr.Markdown("Press the button to see the time.", elem_id="example-note")
        gr.Button("What time is it?").click(lambda: time.strftime("It is %H:%M."), None, note)


def tools() -> list[dict[str, Any]]:
    """Return functions that models and clients may call: POST /extensions/example/tools/time."""
    return [{"name": "time", "description": "The time of day.", "call": lambda: time.strftime("%H:%M")}]


def api_routes() -> dict[str, Callable[[Any], Any]]:
    """Return HTTP routes: GET /extensions/example/hello?who=you."""
    return {"GET hello": lambda request: {"hello": request.query.get("who", "world")}}
