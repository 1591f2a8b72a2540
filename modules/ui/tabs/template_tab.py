"""The chat template on the Model tab: where it comes from, and how to choose or edit another one."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.protocol.errors import PaddockError
from modules.ui.chat_templates import NAMED
from modules.ui.event_feedback import DIRECT, errors_as_toasts, paragraph, toast, toast_channel
from modules.ui.number_format import plural

if TYPE_CHECKING:
    from modules.app import App

OWN = "From the model"
EDITED = "Edited"
_SAMPLE_CHAT: list[dict[str, object]] = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": "Why?"},
]


def draw(app: App, page: gr.Blocks, refresh: gr.Button) -> None:
    """Draw the fold."""
    with gr.Accordion("Chat template", open=False, elem_classes=["fold"], elem_id="chat-template"):
        source = gr.HTML(elem_id="template-source", apply_default_css=False)
        choice = gr.Dropdown(
            choices=[OWN, *NAMED, EDITED],
            label="Template",
            interactive=True,
            filterable=False,
            elem_id="template-choice",
        )
        text = gr.Textbox(
            label="Jinja", lines=6, max_lines=16, interactive=True, elem_id="template-text", elem_classes=["mono"]
        )
        with gr.Row(elem_classes=["tight"]):
            use = gr.Button("Use this template", variant="primary", elem_id="template-use")
            trial = gr.Button("Preview", elem_id="template-try")
        result = gr.HTML(elem_id="template-result", apply_default_css=False)

    def show() -> list[object]:
        state = app.supervisor.state
        own = app.chat_preferences.template(state.model)
        if not state.info:
            return [paragraph("Load a model to see its template."), OWN, "", ""]
        name = next((name for name, known in NAMED.items() if known == own), EDITED) if own else OWN
        words = f"In use: {name}." if own else f"In use: the model's template, from {state.info.template_source}."
        if not own and not state.info.template:
            words = "This model has no chat template, so ChatML is used. If replies look wrong, choose another one."
        return [paragraph(words), name, own or state.info.template, ""]

    def choose(name: str, now: str) -> str:
        info = app.supervisor.state.info
        return (info.template if info else "") if name == OWN else NAMED.get(name, now)

    def check(template: str) -> str:
        """Render a short chat with the template, in the worker's sandbox."""
        answer = app.supervisor.chat_prompt(_SAMPLE_CHAT, template)
        return paragraph(f"A short chat takes {plural(answer.tokens, 'token')}:") + _pre(answer.prompt)

    def keep(template: str) -> list[Any]:
        state = app.supervisor.state
        if not state.info:
            raise PaddockError("A template is saved for one model. Load the model first.")
        if template.strip():
            check(template)
        own = template.strip() in ("", state.info.template.strip())
        app.chat_preferences.set_template(state.model, "" if own else template)
        return [*show(), toast("Saved. The next reply uses this template.")]

    everything = [source, choice, text, result]
    toasts = toast_channel()
    choice.input(choose, [choice, text], text, **DIRECT)
    trial.click(errors_as_toasts(check), text, result, **DIRECT)
    use.click(errors_as_toasts(keep), text, [*everything, toasts], **DIRECT)
    gr.on([page.load, refresh.click], show, None, everything, **DIRECT)


def _pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"
