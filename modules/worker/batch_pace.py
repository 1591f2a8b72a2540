"""How long the text of replies is batched: longer while many run at once, so that their messages stay as few.

Each message wakes threads of the worker, of the host and of the client, on cores that the engine uses.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# About twenty messages a second read as a steady flow of text.
BATCH_SECONDS = 0.05
# With more than two replies at once, all together send about forty messages a second, down to five of each.
_SECONDS_PER_REPLY = BATCH_SECONDS / 2
_MOST_SECONDS = 0.2


class BatchPace:
    """Counts the replies that an engine works on. `least`: seconds per batch of few replies. Thread-safe."""

    def __init__(self, least: float = BATCH_SECONDS) -> None:
        self.least = least
        self._lock = threading.Lock()
        self._replies = 0

    @contextmanager
    def reply(self) -> Iterator[None]:
        """Count one more reply while the block runs."""
        with self._lock:
            self._replies += 1
        try:
            yield
        finally:
            with self._lock:
                self._replies -= 1

    @property
    def several(self) -> bool:
        """True while more than one reply runs."""
        return self._replies > 1

    @property
    def seconds(self) -> float:
        """Seconds per batch of one reply's text."""
        return max(self.least, min(_MOST_SECONDS, self._replies * _SECONDS_PER_REPLY))
