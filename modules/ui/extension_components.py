"""Components, styles and scripts that extensions add to the page. If one fails, the rest of the page still works."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from html import escape
from typing import TYPE_CHECKING

import gradio as gr

from modules.plugins.inline_handlers import inline_handler
from modules.ui.gradio_internals.drawing import Drawing
from modules.ui.gradio_internals.page_html import NONCE

if TYPE_CHECKING:
    from modules.app import App
    from modules.plugins.running_extension import RunningExtension

PARTS = ("ui", "custom_css", "custom_js")
# static/extension_scripts.js runs them once the page is drawn.
_SCRIPT = '<script nonce="{nonce}">(globalThis.extensionScripts ??= []).push({script});</script>'


def signature(app: App) -> tuple[object, ...]:
    """Return what the page shows of the running extensions. The page must be built again when it changes."""
    shown = []
    for running in app.extensions.running.in_order():
        if parts := tuple(part for part in PARTS if part in running.impls):
            shown.append((running.name, running.source.sha256, parts))
    return tuple(shown)


def use_inline_handlers(app: App) -> bool:
    """Return True if the markup of a running extension holds script in attributes, such as onclick."""
    found = [running.source for running in app.extensions.running.in_order()]
    return any(inline_handler(one.path, one.sha256) for one in found)


def below_chat(app: App) -> None:
    """Draw the components of extensions without a tab into the Blocks that are being built."""
    for running in app.extensions.running.in_order():
        if "ui" in running.impls and not running.is_tab:
            with gr.Column(elem_id=f"extension-{running.name}", elem_classes=["extension"]):
                _draw(app, running)


def views(app: App) -> None:
    """Draw a view for each extension with a tab, beside Chat and Notebook.

    static/extension_views.js adds the buttons once the element `extensions-end` is drawn.
    """
    for running in app.extensions.running.in_order() if app.may_manage else ():
        if "ui" in running.impls and running.is_tab:
            with gr.Column(elem_id=f"view-extension-{running.name}", elem_classes=["extension-view"]):
                gr.HTML(f'<span class="extension-title" hidden>{escape(running.title)}</span>', apply_default_css=False)
                _draw(app, running)
    gr.HTML("", elem_id="extensions-end", apply_default_css=False)


def head(app: App) -> str:
    """Return the styles and scripts of the running extensions as markup for the page's head."""
    parts = []
    for running in app.extensions.running.in_order():
        for hook in ("custom_css", "custom_js"):
            worked, text = app.extensions.hooks.try_call(running, hook)
            if not worked or not isinstance(text, str) or not text.strip():
                continue
            if hook == "custom_css":
                parts.append(_style(text))
            else:
                script = json.dumps({"name": running.name, "code": text}).replace("<", "\\u003c")
                parts.append(_SCRIPT.format(nonce=NONCE, script=script))
    return "\n".join(parts)


def _style(text: str) -> str:
    """Return CSS as a style element. Nothing in the CSS can close it."""
    closed = text.replace("</", "<\\/")
    return f'<style class="extension-css">{closed}</style>'


def _draw(app: App, running: RunningExtension) -> None:
    drawing = Drawing()
    app.extensions.hooks.try_call(running, "ui")
    app.extensions.loader.undo_patches(running, "ui")
    drawing.close_containers()
    for function in drawing.functions():
        if callable(function.fn):
            capture = functools.partial(app.extensions.loader.capture_output, running)
            function.fn = _contained(function.fn, running.title, capture)
    if "custom_js" in running.impls:
        ids = escape(json.dumps(drawing.visible_ids()))
        mark = f'<span data-drawn-by="{escape(running.name)}" data-ids="{ids}"></span>'
        gr.HTML(mark, elem_classes=["extension-mark"], apply_default_css=False)


def _contained(
    function: Callable[..., object], title: str, capture: Callable[[], AbstractContextManager[None]]
) -> Callable[..., object]:
    """Return an event's function in which sys.exit ends the event, not Paddock.

    What it prints inside `capture()` goes to its extension's card. The output of coroutines goes to the terminal,
    because they share a thread with others.
    """
    message = f"{title} called sys.exit. Paddock keeps running."

    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def stream(*args: object, **kwargs: object) -> object:
            try:
                async for value in function(*args, **kwargs):
                    yield value
            except (SystemExit, KeyboardInterrupt):
                raise gr.Error(message, print_exception=False) from None

        return stream
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wait(*args: object, **kwargs: object) -> object:
            try:
                return await function(*args, **kwargs)
            except (SystemExit, KeyboardInterrupt):
                raise gr.Error(message, print_exception=False) from None

        return wait
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def steps(*args: object, **kwargs: object) -> object:
            values = function(*args, **kwargs)
            try:
                while True:
                    # Gradio may run each step on another thread.
                    with capture():
                        value = next(values, values)
                    if value is values:
                        return
                    yield value
            except (SystemExit, KeyboardInterrupt):
                raise gr.Error(message, print_exception=False) from None

        return steps

    @functools.wraps(function)
    def call(*args: object, **kwargs: object) -> object:
        try:
            with capture():
                return function(*args, **kwargs)
        except (SystemExit, KeyboardInterrupt):
            raise gr.Error(message, print_exception=False) from None

    return call
