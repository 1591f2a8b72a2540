"""LoRA adapters on the Model tab: which exist, which fit the loaded model, their weights, and Apply."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.library.sizes import format_size
from modules.loading.applied_adapters import MAX_WEIGHT, AdapterOffer
from modules.protocol.errors import PaddockError
from modules.ui.event_feedback import DIRECT, QUEUED, errors_as_toasts, paragraph, toast, toast_channel
from modules.ui.gradio_internals.hidden_state import hidden_state

if TYPE_CHECKING:
    from modules.app import App

_STEP = 0.05


def draw(app: App, page: gr.Blocks, refresh: gr.Button) -> None:
    """Draw the fold. The page clicks `refresh` when the model's state changed."""
    # The list is drawn again only when it changed, because a person may be using it.
    drawn, toasts = hidden_state(), toast_channel()

    with gr.Accordion("LoRA adapters", open=False, elem_classes=["fold"], elem_id="adapters"):
        again = gr.Button("Refresh", elem_id="adapters-refresh")

        @gr.render(inputs=drawn, queue=False, show_progress="hidden")  # type: ignore[untyped-decorator]
        def draw_offers(_: str) -> None:
            words, offers = _offers(app)
            gr.HTML(words, elem_id="adapters-status", apply_default_css=False)
            if any(not offer.why_not for offer in offers):
                _form(app, [offer for offer in offers if not offer.why_not], toasts)

    def now() -> str:
        state = app.supervisor.state
        return repr((state.model, state.loader, state.phase == "ready", state.adapters, _offers(app)))

    gr.on([page.load, refresh.click, again.click], now, None, drawn, **DIRECT)


def _offers(app: App) -> tuple[str, list[AdapterOffer]]:
    """Return a message as HTML, and the adapters to list."""
    if app.supervisor.state.phase != "ready":
        return paragraph("Load a model first. Then choose adapters for it here."), []
    spec = app.registry.get(app.supervisor.state.loader)
    if not spec.adapters:
        return paragraph(app.adapters.unsupported_message(spec)), []
    try:
        offers = app.adapters.offers()
    except PaddockError as error:
        return paragraph(error.message, "warning"), []
    if not offers:
        folder = app.paths.display(app.paths.models)
        return paragraph(
            f"There are no adapters yet. Put an adapter's folder or GGUF file into {folder}, then press Refresh."
        ), []
    unfit = "".join(f"<li>{escape(offer.why_not)}</li>" for offer in offers if offer.why_not)
    fold = f"<details><summary>Adapters that do not fit</summary><ul>{unfit}</ul></details>" if unfit else ""
    return paragraph(spec.adapters_note) + fold, offers


def _form(app: App, offers: list[AdapterOffer], toasts: gr.Textbox) -> None:
    """Draw a checkbox and a weight for each adapter that fits, and Apply."""
    applied = app.supervisor.state.adapters
    boxes: list[gr.Checkbox] = []
    weights: list[gr.Number] = []
    for index, offer in enumerate(offers):
        name = offer.adapter.name
        with gr.Row(elem_classes=["tight"]):
            boxes.append(
                gr.Checkbox(
                    name in applied,
                    label=name,
                    info=_words(offer),
                    interactive=True,
                    elem_id=f"adapter-use-{index}",
                    scale=4,
                )
            )
            weights.append(
                gr.Number(
                    applied.get(name, 1.0),
                    label=f"Weight of {name}",
                    minimum=-MAX_WEIGHT,
                    maximum=MAX_WEIGHT,
                    step=_STEP,
                    interactive=True,
                    elem_id=f"adapter-weight-{index}",
                    scale=1,
                    min_width=90,
                )
            )
    apply = gr.Button("Apply", variant="primary", elem_id="adapters-apply")

    def use(*values: Any) -> str:
        chosen = zip(offers, values[: len(offers)], values[len(offers) :], strict=True)
        app.adapters.apply({offer.adapter.name: float(weight or 0) for offer, on, weight in chosen if on})
        # The page gets the model's new state, and draws this again.
        names = ", ".join(f"{name} ({weight:g})" for name, weight in app.supervisor.state.adapters.items())
        return toast(f"Used from the next reply: {names or 'no adapter'}.")

    apply.click(errors_as_toasts(use), [*boxes, *weights], toasts, **QUEUED)


def _words(offer: AdapterOffer) -> str:
    adapter = offer.adapter
    parts = [
        f"for {adapter.base}" if adapter.base else "",
        f"rank {adapter.rank}" if adapter.rank else "",
        f"changes {', '.join(adapter.targets)}" if adapter.targets else "",
        format_size(adapter.size_bytes),
    ]
    return ", ".join(filter(None, parts))
