"""The model that code of extensions uses: that of the API request it runs for, else the page's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# A runtime.loaded_model.LoadedModel. Hook threads, and threads that write replies, run in a copy of their caller's
# context.
_OF_REQUEST: ContextVar[Any] = ContextVar("model of the request", default=None)


@contextmanager
def use_request_model(model: Any) -> Iterator[None]:
    """Let the hooks that the block calls, and the replies that it starts, use `model`."""
    before = _OF_REQUEST.set(model)
    try:
        yield
    finally:
        _OF_REQUEST.reset(before)


def hook_model(app: Any) -> Any:
    """Return the LoadedModel for code of an extension that runs now. `app`: the App."""
    return _OF_REQUEST.get() or app.supervisor
