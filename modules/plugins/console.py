"""Stores what extensions print for the page, up to a limit, so that it does not flood the terminal."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

_LIMIT = 64_000


class Output:
    """The most recent text that one extension printed. `dropped`: the number of earlier characters that were lost."""

    def __init__(self) -> None:
        self._text = ""
        self.dropped = 0
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Add text. If the limit is exceeded, the oldest text is dropped."""
        with self._lock:
            whole = self._text + text[-2 * _LIMIT :]
            cut = max(0, len(whole) - _LIMIT)
            self.dropped += cut + max(0, len(text) - 2 * _LIMIT)
            self._text = whole[cut:]

    @property
    def text(self) -> str:
        """The stored text, after a line that says how much was dropped."""
        with self._lock:
            front = f"({self.dropped} earlier characters were dropped.)\n" if self.dropped else ""
            return front + self._text


class _Router:
    """Replaces sys.stdout or sys.stderr: text printed during a hook goes to its extension's output."""

    def __init__(self, stream: TextIO, local: threading.local) -> None:
        self._stream = stream
        self._local = local

    def write(self, text: str) -> int:
        output: Output | None = getattr(self._local, "output", None)
        if output is None:
            return self._stream.write(text)
        output.write(str(text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


class Console:
    """Captures what extensions print, by thread. Replaces the streams in `open`; `close` restores them."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._streams: tuple[TextIO, TextIO] | None = None

    def open(self) -> None:
        """Replace stdout and stderr."""
        if self._streams is None:
            self._streams = (sys.stdout, sys.stderr)
            sys.stdout, sys.stderr = _Router(sys.stdout, self._local), _Router(sys.stderr, self._local)  # type: ignore[assignment]

    @contextlib.contextmanager
    def capture(self, output: Output) -> Iterator[None]:
        """Within the block, write what this thread prints to `output`."""
        before = self.redirect(output)
        try:
            yield
        finally:
            self._local.output = before

    def redirect(self, output: Output | None) -> Output | None:
        """Write what this thread prints to `output`; None: to the terminal. Return the previous target.

        Does the same as `capture` without a block, for code that runs often.
        """
        before: Output | None = getattr(self._local, "output", None)
        self._local.output = output
        return before

    def close(self) -> None:
        """Restore the streams, unless other code has replaced them since."""
        if self._streams is None:
            return
        if isinstance(sys.stdout, _Router):
            sys.stdout = self._streams[0]
        if isinstance(sys.stderr, _Router):
            sys.stderr = self._streams[1]
        self._streams = None
