"""Progress for people at a terminal: one line that is rewritten, or plain lines when nobody watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


class ProgressLine:
    """Call it with (text, fraction); `close` ends the line. Writes to stderr, so that stdout stays the answer's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._watched = sys.stderr.isatty()
        self._last = ""
        self._width = 0
        self._begin = clock()
        self._clock = clock

    def __call__(self, text: str, fraction: float | None) -> None:
        if self._watched:
            done = "" if fraction is None else f"{fraction:4.0%} "
            line = f"{done}{text} ({self._clock() - self._begin:.0f} s)"[:110]
            print(f"\r{line:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = len(line)
        elif text != self._last:
            print(text, file=sys.stderr, flush=True)
        self._last = text

    def close(self) -> None:
        """End the line."""
        if self._watched and self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=sys.stderr, flush=True)
            self._width = 0
