"""Output to a terminal: text without control characters, and progress on one line that is rewritten.

Names of files, a model's metadata and its replies are untrusted text. An escape sequence in them could move the cursor,
hide lines, or, in some terminals, do more.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

# Control characters except line break and tab; other line separators; characters that reverse the text direction.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return `text` with U+FFFD for each control character that a terminal would obey."""
    return _CONTROL.sub("\ufffd", text)


class VisibleStream:
    """A text stream, such as sys.stdout, without control characters. `exact`: the original stream."""

    def __init__(self, exact: TextIO) -> None:
        self.exact = exact

    def write(self, text: str) -> int:
        """Write `text` without control characters. Return the number of characters."""
        # Callers that count get the same length.
        return int(self.exact.write(visible(text)))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self.exact, name)


@contextlib.contextmanager
def visible_output() -> Iterator[None]:
    """Print, log and raise inside the block without control characters."""
    original = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (VisibleStream(stream) if stream is not None else None for stream in original)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = original


def write_reply(text: str) -> None:
    """Write a model's text to stdout: unchanged to a file or a pipe, without control characters to a terminal."""
    stream: TextIO = sys.stdout
    # An extension's console may wrap this stream; it passes the attribute on.
    exact: TextIO = getattr(stream, "exact", stream)
    if not exact.isatty():
        stream = exact
    stream.write(text)
    stream.flush()


def _exact_stderr() -> TextIO:
    exact: TextIO = getattr(sys.stderr, "exact", sys.stderr)
    return exact


class ProgressLine:
    """A progress line on stderr. Call it with (text, fraction); `close` ends the line."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._last = ""
        self._width = 0
        self._begin = clock()
        self._clock = clock

    def __call__(self, text: str, fraction: float | None) -> None:
        text = visible(text).replace("\n", " ").replace("\t", " ")
        if self._is_terminal:
            done = "" if fraction is None else f"{fraction:4.0%} "
            line = f"{done}{text} ({self._clock() - self._begin:.0f} s)"[:110]
            print(f"\r{line:<{self._width}}", end="", file=_exact_stderr(), flush=True)
            self._width = len(line)
        elif text != self._last:
            print(text, file=sys.stderr, flush=True)
        self._last = text

    def close(self) -> None:
        """End the line."""
        if self._is_terminal and self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=_exact_stderr(), flush=True)
            self._width = 0
