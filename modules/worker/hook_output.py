"""Collects the output of extensions' hooks in the worker, apart from the engine's, for the host."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TextIO

# The most characters of one extension's output that are sent at once.
_LONGEST = 64_000


class _Router:
    """Replaces sys.stdout or sys.stderr. Text that is written inside `HookOutput.capture` is collected."""

    def __init__(self, stream: TextIO, local: threading.local) -> None:
        self._stream = stream
        self._local = local

    def write(self, text: str) -> int:
        keep: Callable[[str], None] | None = getattr(self._local, "keep", None)
        if keep is None:
            return int(self._stream.write(text))
        keep(str(text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


class HookOutput:
    """Collects output by extension until `take`. Replaces sys.stdout and sys.stderr at its first use."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}
        self._open = False

    @contextlib.contextmanager
    def capture(self, name: str) -> Iterator[None]:
        """Collect what this thread prints in the block as output of the extension `name`."""
        if not self._open:
            self._open = True
            sys.stdout, sys.stderr = _Router(sys.stdout, self._local), _Router(sys.stderr, self._local)  # type: ignore

        def keep(text: str) -> None:
            with self._lock:
                self._texts[name] = (self._texts.get(name, "") + text)[-_LONGEST:]

        before = getattr(self._local, "keep", None)
        self._local.keep = keep
        try:
            yield
        finally:
            self._local.keep = before

    def take(self) -> dict[str, str]:
        """Return the output since the previous call, by extension."""
        if not self._texts:
            return {}
        with self._lock:
            texts, self._texts = self._texts, {}
        return texts
