"""What llama.cpp writes to stderr while it loads: the only place where it says why it cannot."""

from __future__ import annotations

import os
import threading
from types import TracebackType

_KEPT_BYTES = 20_000
# llama.cpp's log is written by a thread of its own, a moment after the fact.
_QUIET_SECONDS = 0.2


class StderrTap:
    """A context in which file descriptor 2 is read here, kept, and passed on to where it led before."""

    def __init__(self) -> None:
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
        self._thread.join()
        os.close(self._source)
        os.close(self._real)
