"""What extensions print: kept for the page, up to a limit, instead of flooding the terminal."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

_LIMIT = 64_000


class Output:
    """The last of what one extension printed. `dropped`: characters that are gone."""

    def __init__(self) -> None:
        self._text = ""
        self.dropped = 0
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Add text; what exceeds the limit goes from the front."""
        with self._lock:
            whole = self._text + text[-2 * _LIMIT :]
            cut = max(0, len(whole) - _LIMIT)
            self.dropped += cut + max(0, len(text) - 2 * _LIMIT)
            self._text = whole[cut:]

    @property
    def text(self) -> str:
        """What is kept, with a line in front that says what is not."""
        with self._lock:
            front = f"({self.dropped} characters before this are not kept.)\n" if self.dropped else ""
            return front + self._text


class _Router:
    """Stands for sys.stdout or sys.stderr: what a guarded call writes goes to its extension's output."""

    def __init__(self, stream: TextIO, local: threading.local) -> None:
        self._stream = stream
        self._local = local

    def write(self, text: str) -> int:
        output: Output | None = getattr(self._local, "output", None)
        if output is None:
            return self._stream.write(text)
        output.write(str(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Console:
    """Catches what is printed within `catching`. Put in the streams' place at the first use, taken out by `close`."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._streams: tuple[TextIO, TextIO] | None = None

    def open(self) -> None:
        """Stand in for stdout and stderr from now on."""
        if self._streams is None:
            self._streams = (sys.stdout, sys.stderr)
            sys.stdout, sys.stderr = _Router(sys.stdout, self._local), _Router(sys.stderr, self._local)  # type: ignore[assignment]

    @contextlib.contextmanager
    def catching(self, output: Output) -> Iterator[None]:
        """What this thread prints in the block goes to `output`."""
        before = getattr(self._local, "output", None)
        self._local.output = output
        try:
            yield
        finally:
            self._local.output = before

    def put(self, output: Output | None) -> Output | None:
        """The same without a block, for code that runs often; returns what was there before."""
        before: Output | None = getattr(self._local, "output", None)
        self._local.output = output
        return before

    def close(self) -> None:
        """Give the streams back, where they are still ours."""
        if self._streams is None:
            return
        if isinstance(sys.stdout, _Router):
            sys.stdout = self._streams[0]
        if isinstance(sys.stderr, _Router):
            sys.stderr = self._streams[1]
        self._streams = None
