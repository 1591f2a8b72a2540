"""How a Gradio event tells the person something."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from html import escape
from typing import Any, TypeVar

import gradio as gr

from modules.protocol.errors import PaddockError

T = TypeVar("T")
# How every event of ours is bound: nothing dims while it runs, and it is no part of an API.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# For those that are quick, tell nothing by gr.Info (what they raise is said by dom.js), and set no gr.State that
# something is drawn from: each is a request of its own. Through the queue, events that come close together share one
# stream, and Gradio's script loses an answer where it closes that stream and opens the next.
DIRECT: dict[str, Any] = {**QUIET, "queue": False}


def spoken(handler: Callable[..., T]) -> Callable[..., T]:
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


def stamp() -> str:
    """An empty mark that is another one each time: a tab that shows a new one shows what holds now."""
    return f'<i class="stamp" data-at="{time.monotonic_ns()}" hidden></i>'


def paragraph(text: str, kind: str = "quiet") -> str:
    """One paragraph of HTML; the text is escaped."""
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""
