"""Shows how probable each token was to the model: green for probable tokens, red for improbable ones.

On request, the model evaluates the reply once more, token by token. With the engine's prefix cache that is one step per
token.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any

import gradio as gr

_TOP = 50
_last: dict[str, Any] = {"prompt": "", "reply": "", "host": None, "most": 200}


def custom_generate_reply(question: str, host: Any, settings: Any) -> None:
    """Store the prompt, and let the model answer."""
    _last.update(prompt=question, reply="", host=host, most=settings.most)


def output_modifier(string: str) -> None:
    """Store the reply."""
    _last["reply"] = string


def probabilities(prompt: str, reply: str, host: Any, most: int) -> list[tuple[str, float]]:
    """Return (text, probability) of each token of the reply; 0 if it is not among the fifty most probable."""
    found = []
    tokens = host.tokenize(reply)[:most]
    for place, token in enumerate(tokens):
        likely = host.probabilities(prompt + host.detokenize(tokens[:place]), _TOP)
        chance = next((entry["probability"] for entry in likely if entry["token"] == token), 0.0)
        before = host.detokenize(tokens[:place])
        found.append((host.detokenize(tokens[: place + 1])[len(before) :], chance))
    return found


def colored(found: list[tuple[str, float]]) -> str:
    """Return HTML with one span per token, and the perplexity over the tokens with a known probability."""
    spans = [
        f'<span title="{chance:.1%}" style="background: hsl({120 * chance:.0f} 70% 50% / 35%)">{escape(text)}</span>'
        for text, chance in found
    ]
    seen = [chance for _, chance in found if chance > 0]
    average = math.exp(-sum(map(math.log, seen)) / len(seen)) if seen else float("nan")
    rest = len(found) - len(seen)
    note = f"Perplexity {average:.2f} over {len(seen)} tokens; {rest} were not among the {_TOP} most probable."
    return f'<div style="white-space: pre-wrap">{"".join(spans)}</div><p>{note}</p>'


def ui() -> None:
    """Add a button and the colored text."""

    def show() -> str:
        if not _last["reply"] or _last["host"] is None:
            raise gr.Error("There is no reply to color yet. Send a message first.", print_exception=False)
        return colored(probabilities(_last["prompt"], _last["reply"], _last["host"], _last["most"]))

    with gr.Accordion("Perplexity colors", open=False):
        text = gr.HTML(elem_id="perplexity-text")
        gr.Button("Color the last reply", elem_id="perplexity-show").click(show, None, text)
