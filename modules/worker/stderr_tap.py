"""What an engine writes to stderr while it loads: often the only place where it says why it fails, or how far it is."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType

_KEPT_BYTES = 20_000
# Logs are written by threads and processes of their own, a moment after the fact.
_QUIET_SECONDS = 0.2


class StderrTap:
    """A context in which file descriptor 2 is read here, kept, and passed on to where it led before.

    `on_text`: called with what was written, as it comes, from another thread. Processes started inside keep writing to
    the pipe that ends here: with `stays`, it is read for as long as they live.
    """

    def __init__(self, on_text: Callable[[str], None] = lambda text: None, *, stays: bool = False) -> None:
        self._on_text = on_text
        self._stays = stays
        self._kept = b""
        self._heard = threading.Event()

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
            self._kept = (self._kept + part)[-_KEPT_BYTES:]
            self._heard.set()
            os.write(self._real, part)
            self._on_text(part.decode("utf-8", "replace"))

    def text(self) -> str:
        """What was written so far, once it has been quiet for a moment."""
        while self._heard.wait(_QUIET_SECONDS):
            self._heard.clear()
        return self._kept.decode("utf-8", "replace").strip()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The write end closes with this; the thread then reads the end.
        os.dup2(self._real, 2)
        if self._stays:
            return
        self._thread.join()
        os.close(self._source)
        os.close(self._real)
