"""How the events of forms run, and how they show messages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import wraps
from html import escape
from typing import Any, TypeVar

import gradio as gr

from modules.protocol.errors import PaddockError
from modules.ui.gradio_internals.hidden_state import send_to_script

T = TypeVar("T")
# Options of an event that is one request: nothing dims while it runs, and it is no part of Gradio's API.
# Through Gradio's queue an event is two requests, and its answer may overtake another's. event_requests.js sends DIRECT
# events one after another, and shows their errors. They cannot use gr.Info; see `toast_channel`.
DIRECT: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
# Options of an event that may take seconds, or reports progress. Other events do not wait for it.
QUEUED: dict[str, Any] = {**DIRECT, "queue": True}


def errors_as_toasts(handler: Callable[..., T]) -> Callable[..., T]:
    """Return the handler with its PaddockErrors shown as toasts, without a traceback in the log."""

    @wraps(handler)
    def safe(*given: object) -> T:
        try:
            return handler(*given)
        except PaddockError as error:
            raise gr.Error(
                escape(error.message), title="This did not work", duration=12, print_exception=False
            ) from error

    return safe


def timestamp() -> str:
    """Return a text that is different each time."""
    return str(time.monotonic_ns())


def toast_channel() -> gr.Textbox:
    """Return an output of events for what `toast` returns."""
    return send_to_script("paddock-toast", **DIRECT)


def toast(text: str, error: bool = False, undo: str = "") -> str:
    """Return the value that makes a `toast_channel` show `text`; `undo` is the id of a hidden button that takes it
    back."""
    return json.dumps({"text": text, "error": error, "undo": undo, "at": timestamp()})


def refresh_marker() -> str:
    """Return an invisible element with the present time. Tests wait for a new one to know that a tab is up to date."""
    return f'<i class="refresh-marker" data-at="{timestamp()}" hidden></i>'


def paragraph(text: str, kind: str = "quiet") -> str:
    """Return the text, escaped, as a paragraph of HTML, or "" for an empty text."""
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""
