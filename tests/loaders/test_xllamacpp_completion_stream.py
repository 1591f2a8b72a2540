"""The stream of one completion of xllamacpp: the first token is sent at once, later ones in batches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from loaders.xllamacpp.completion_stream import CompletionStream
from modules.worker.batch_pace import BatchPace


class _Server:
    """A server that reports the progress of the prompt, then one token, and the rest once `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def handle_completions(self, body: dict[str, Any], receive: Callable[[Any], bool]) -> None:
        """Imitate the method of xllamacpp.Server."""
        receive({"choices": [], "prompt_progress": {"total": 9, "cache": 4, "processed": 4}})
        receive({"choices": [], "prompt_progress": {"total": 9, "cache": 4, "processed": 9}})
        receive({"choices": ["one"]})
        self.go.wait(30)
        receive({"choices": ["two"]})
        receive({"choices": ["three"]})


def test_the_first_token_does_not_wait_behind_the_progress_of_the_prompt() -> None:
    server = _Server()
    # This would take a minute if the first token were batched.
    stream = CompletionStream(server.handle_completions, {}, threading.Event(), BatchPace(60.0))
    parts = iter(stream)
    assert next(parts) == [{"choices": ["one"]}]
    assert stream.cached == 4
    server.go.set()
    assert list(parts) == [[{"choices": ["two"]}, {"choices": ["three"]}]]
