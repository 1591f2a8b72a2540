"""What goes to a terminal: text without control characters, and progress on one line that is rewritten.

Names of files, a model's metadata and its replies are a stranger's words. An escape sequence in them would move the
cursor, hide lines, or make some terminals do more.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

# Control characters but line break and tab; lines of other kinds; what turns the direction of text around.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """`text` with U+FFFD for each control character that a terminal would obey."""
    return _CONTROL.sub("\ufffd", text)


class VisibleStream:
    """A text stream, such as sys.stdout, that writes no control characters. `exact`: the stream itself."""

    def __init__(self, exact: Any) -> None:
        self.exact = exact

    def write(self, text: str) -> int:
        """Write `text` without what a terminal would obey."""
        # The same length for whoever counts.
        return int(self.exact.write(visible(text)))

    def writelines(self, lines: Any) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.exact, name)


@contextlib.contextmanager
def visible_output() -> Iterator[None]:
    """Let all that is printed, logged and raised inside reach the terminal without control characters."""
    kept = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (VisibleStream(stream) if stream is not None else None for stream in kept)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = kept


def write_reply(text: str) -> None:
    """Write a model's words to stdout: exactly into a file or a pipe, without control characters to a terminal."""
    stream: Any = sys.stdout
    # An extension's console may stand before ours; it passes the attribute on.
    exact = getattr(stream, "exact", stream)
    if not exact.isatty():
        stream = exact
    stream.write(text)
    stream.flush()


def _exact_stderr() -> Any:
    return getattr(sys.stderr, "exact", sys.stderr)


class ProgressLine:
    """Call it with (text, fraction); `close` ends the line. Writes to stderr, so that stdout stays the answer's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._watched = sys.stderr.isatty()
        self._last = ""
        self._width = 0
        self._begin = clock()
        self._clock = clock

    def __call__(self, text: str, fraction: float | None) -> None:
        text = visible(text).replace("\n", " ").replace("\t", " ")
        if self._watched:
            done = "" if fraction is None else f"{fraction:4.0%} "
            line = f"{done}{text} ({self._clock() - self._begin:.0f} s)"[:110]
            print(f"\r{line:<{self._width}}", end="", file=_exact_stderr(), flush=True)
            self._width = len(line)
        elif text != self._last:
            print(text, file=sys.stderr, flush=True)
        self._last = text

    def close(self) -> None:
        """End the line."""
        if self._watched and self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=_exact_stderr(), flush=True)
            self._width = 0
