"""Reads what an engine writes to stderr while it loads, often the only source of its errors or its progress."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType

_STORED_BYTES = 20_000
# Engines write logs from other threads and processes, a moment after the event.
_QUIET_SECONDS = 0.2


class StderrTap:
    """A context that reads file descriptor 2, stores the text, and passes it on to the previous destination.

    `on_text`: called with new text from another thread. `stays`: keep reading after the context, because processes
    that were started in it still write to the pipe.
    """

    def __init__(self, on_text: Callable[[str], None] = lambda text: None, *, stays: bool = False) -> None:
        self._on_text = on_text
        self._stays = stays
        self._text = b""
        self._arrived = threading.Event()

    def __enter__(self) -> StderrTap:
        self._real = os.dup(2)
        self._source, sink = os.pipe()
        os.dup2(sink, 2)
        os.close(sink)
        self._thread = threading.Thread(target=self._copy, name="stderr tap", daemon=True)
        self._thread.start()
        return self

    def _copy(self) -> None:
        while part := os.read(self._source, 65536):
            self._text = (self._text + part)[-_STORED_BYTES:]
            self._arrived.set()
            os.write(self._real, part)
            self._on_text(part.decode("utf-8", "replace"))

    def text(self) -> str:
        """Return the text so far, once nothing has been written for a moment."""
        while self._arrived.wait(_QUIET_SECONDS):
            self._arrived.clear()
        return self._text.decode("utf-8", "replace").strip()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # This closes the write end of the pipe, so the thread reads its end.
        os.dup2(self._real, 2)
        if self._stays:
            return
        self._thread.join()
        os.close(self._source)
        os.close(self._real)
