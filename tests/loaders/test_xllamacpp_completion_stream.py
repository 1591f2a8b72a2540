"""The stream of one completion of xllamacpp: what comes at once, and what gathers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from loaders.xllamacpp.completion_stream import CompletionStream


class _Server:
    """Says how far it is with the prompt, then one token, and the rest once `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def handle_completions(self, body: dict[str, Any], receive: Callable[[Any], bool]) -> None:
        """As xllamacpp.Server has it."""
        receive({"choices": [], "prompt_progress": {"total": 9, "cache": 4, "processed": 4}})
        receive({"choices": [], "prompt_progress": {"total": 9, "cache": 4, "processed": 9}})
        receive({"choices": ["one"]})
        self.go.wait(30)
        receive({"choices": ["two"]})
        receive({"choices": ["three"]})


def test_the_first_token_does_not_wait_behind_the_progress_of_the_prompt() -> None:
    server = _Server()
    # Would take a minute if it gathered.
    stream = CompletionStream(server, {}, threading.Event(), gather=60.0)
    parts = iter(stream)
    assert next(parts) == [{"choices": ["one"]}]
    assert stream.cached == 4
    server.go.set()
    assert list(parts) == [[{"choices": ["two"]}, {"choices": ["three"]}]]
