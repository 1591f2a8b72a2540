"""How a Gradio event tells the person something."""

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
# How every event of ours is bound: nothing dims while it runs, it is no part of an API, and it is a request of its own.
# Through the queue, an event is two requests, and its answer may overtake another's; requests.js sends these one after
# another, and says what they raise. They know no gr.Info (see `toast_channel`).
# No gr.State either: for those, each tab would hold one of the six connections that browsers open to a host.
DIRECT: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
# For what may last seconds or more, or tells how far it is: other events do not wait for it.
QUEUED: dict[str, Any] = {**DIRECT, "queue": True}


def errors_as_toasts(handler: Callable[..., T]) -> Callable[..., T]:
    """The handler, whose PaddockErrors appear on the page as sentences and leave no traceback in the log."""

    @wraps(handler)
    def safe(*given: Any) -> T:
        try:
            return handler(*given)
        except PaddockError as error:
            raise gr.Error(
                escape(error.message), title="That did not work", duration=12, print_exception=False
            ) from error

    return safe


def timestamp() -> str:
    """Another text each time."""
    return str(time.monotonic_ns())


def toast_channel() -> gr.Textbox:
    """Return an output of events for what `toast` returns."""
    return send_to_script("paddock-toast", **DIRECT)


def toast(text: str, error: bool = False, undo: str = "") -> str:
    """Return the value that makes a `toast_channel` show `text`; `undo` is the id of a hidden button that takes it
    back."""
    return json.dumps({"text": text, "error": error, "undo": undo, "at": timestamp()})


def refresh_marker() -> str:
    """An empty mark that is another one each time: a tab that shows a new one shows what holds now."""
    return f'<i class="refresh-marker" data-at="{timestamp()}" hidden></i>'


def paragraph(text: str, kind: str = "quiet") -> str:
    """One paragraph of HTML; the text is escaped."""
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""
