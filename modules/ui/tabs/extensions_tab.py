"""The Extensions tab: the list of extensions with their switches, consent, packages, order, settings and failures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.plugins.extension_overview import extension_statuses
from modules.plugins.extension_status import ExtensionStatus
from modules.plugins.install import install
from modules.protocol.errors import PaddockError
from modules.protocol.schema import build, changed_values, describe
from modules.ui.event_feedback import (
    DIRECT,
    QUEUED,
    errors_as_toasts,
    paragraph,
    refresh_marker,
    timestamp,
    toast,
    toast_channel,
)
from modules.ui.gradio_internals.hidden_state import hidden_state
from modules.ui.settings_form import entered, form

if TYPE_CHECKING:
    from modules.app import App

_STATE_TITLES = {"on": "On.", "off": "Off.", "failed": "Failed.", "blocked": "Cannot run.", "consent": "New code."}
_WANTS = {
    "network": "uses the network",
    "files": "reads or writes files outside its own folder",
    "worker": "runs code in the model's process",
}


def draw(app: App, page: gr.Blocks, refresh: gr.Button) -> None:
    """Draw the tab. The list is drawn again whenever `redraw` changes."""
    redraw, toasts = hidden_state(), toast_channel()
    receipts = gr.Checkbox(
        label="Record what extensions changed in each reply",
        info="Shows the text before and after each change under the reply.",
        elem_id="extension-receipts",
    )
    with gr.Accordion("Install an extension", open=False, elem_classes=["fold"]):
        source = gr.Textbox(
            label="Address or folder",
            placeholder="https://… or a folder",
            info="The files are copied. None of the code runs before you allow it.",
            elem_id="extension-source",
        )
        add = gr.Button("Install", elem_id="extension-install")

    def show() -> tuple[bool, str]:
        return app.extensions.saved.receipts, timestamp()

    def keep(on: bool) -> None:
        app.extensions.saved.receipts = on

    def bring(where: str) -> tuple[str, str, str]:
        folder = install(where.strip(), app.paths.extensions[1], app.paths.extension_repositories)
        return "", timestamp(), toast(f"Installed {folder.name}. Switch it on in the list.")

    receipts.input(errors_as_toasts(keep), receipts, None, **DIRECT)
    add.click(errors_as_toasts(bring), source, [source, redraw, toasts], **QUEUED)
    gr.on([page.load, refresh.click], show, None, [receipts, redraw], **DIRECT)

    @gr.render(inputs=redraw, queue=False, show_progress="hidden")  # type: ignore[untyped-decorator]
    def draw_list(_: str) -> None:
        statuses = extension_statuses(app.extensions)
        if not statuses:
            gr.HTML(paragraph("There are no extensions yet. Install one above."))
        last = max((status.place for status in statuses), default=0)
        for status in statuses:
            with gr.Column(elem_id=f"extension-row-{status.name}", elem_classes=["extension-row"]):
                gr.HTML(_card(status), apply_default_css=False)
                _buttons(app, status, last, [redraw, toasts])
                if status.settings is not None and status.state == "on":
                    _settings(app, status, status.settings, [redraw, toasts])
        gr.HTML(refresh_marker(), apply_default_css=False)


def _card(status: ExtensionStatus) -> str:
    """Return one extension as HTML."""
    version = f" {status.version}" if status.version else ""
    lines = [f'<div class="loader"><strong>{escape(status.title + version)}</strong>']
    if status.description:
        lines.append(paragraph(status.description))
    facts = [_STATE_TITLES[status.state]]
    if status.kind != "paddock":
        facts.append("Made for text-generation-webui.")
    if status.hooks:
        facts.append(f"Hooks: {', '.join(status.hooks)}.")
    shown = " ".join(f"<span>{escape(fact)}</span>" for fact in facts)
    lines.append(f'<p class="state" data-state="{status.state}">{shown}</p>')
    if status.wants:
        lines.append(paragraph(f"It {', '.join(_WANTS[want] for want in status.wants)}."))
    if status.message:
        lines.append(paragraph(status.message, "warning" if status.state != "off" else "quiet"))
    lines += [paragraph(note, "warning") for note in (*status.notes, status.unbuilt) if note]
    for title, text in (("Details", status.detail), ("What it printed", status.output)):
        if text:
            lines.append(f"<details><summary>{title}</summary><pre>{escape(text)}</pre></details>")
    return "".join(lines) + "</div>"


def _buttons(app: App, status: ExtensionStatus, last: int, shown: list[gr.Textbox]) -> None:
    """Draw the buttons of one extension. `last` is the position of the extension whose hooks run last."""
    manager, name = app.extensions, status.name

    def button(label: str, kind: str, act: Callable[[], None], **extra: Any) -> None:
        made = gr.Button(label, elem_id=f"extension-{kind}-{name}", min_width=110, scale=0, size="sm", **extra)
        made.click(_then_draw(act), None, shown, **QUEUED)

    with gr.Row(elem_classes=["tight"]):
        if status.state == "on":
            button("Switch off", "off", lambda: manager.disable(name))
            button("Move up", "earlier", lambda: manager.move(name, status.place - 1), interactive=status.place > 0)
            button("Move down", "later", lambda: manager.move(name, status.place + 1), interactive=status.place < last)
        elif status.state == "consent":
            agree = partial(manager.enable, name, status.sha256)
            button("Allow and switch on", "agree", agree, variant="primary")
        elif status.state == "failed":
            button("Try again", "on", lambda: manager.enable(name), variant="primary")
            button("Switch off", "off", lambda: manager.disable(name))
        elif status.state == "off":
            button("Switch on", "on", lambda: manager.enable(name))
        if status.state != "consent" and any(need.state in ("missing", "conflict") for need in status.needs):
            button("Install its packages", "packages", lambda: manager.install_packages(name))
        if status.state != "consent" and status.unbuilt:
            build = partial(manager.install_packages, name, build=status.sha256)
            button("Allow building its packages", "build", build)


def _then_draw(act: Callable[[], None]) -> Callable[[], tuple[str, str]]:
    """Return the function that acts and draws the list again. An error becomes a toast; the list says more."""

    def safe() -> tuple[str, Any]:
        try:
            act()
        except PaddockError as error:
            return timestamp(), toast(error.message, error=True)
        return timestamp(), gr.skip()

    return safe


def _settings(app: App, status: ExtensionStatus, schema: type[object], shown: list[gr.Textbox]) -> None:
    settings = {setting.name: setting for setting in describe(schema)}
    with gr.Accordion("Settings", open=False, elem_classes=["fold"]):
        try:
            values = build(schema, {key: value for key, value in status.values.items() if key in settings})
        except PaddockError as error:
            gr.HTML(
                paragraph(
                    f"The saved settings cannot be used: {error.message} Defaults are shown.",
                    "warning",
                )
            )
            values = schema()
        kept = {name: getattr(values, name) for name in settings}
        fields = form(list(settings.values()), kept, prefix=f"extension-{status.name}-")
        save = gr.Button("Save", elem_id=f"extension-save-{status.name}")

    def keep(*inputs: object) -> tuple[str, str]:
        entries = {name: entered(settings[name], value) for name, value in zip(fields, inputs, strict=True)}
        fresh = changed_values(build(schema, entries))
        app.extensions.configure(
            status.name, {name: fresh.get(name) for name in settings if name in fresh}, replace=True
        )
        return timestamp(), toast("Saved. Used from the next reply.")

    save.click(errors_as_toasts(keep), list(fields.values()), shown, **DIRECT)
