"""Stop texts that never leak: text is held back as long as it could still become one."""

from __future__ import annotations

from collections.abc import Iterable


class StopFilter:
    """Passes text on, piece by piece, up to the first stop text. How the text is cut into pieces changes nothing.

    `stopped`: a stop text came; nothing more is passed on. `stop`: which one.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False
        self.stop = ""

    def feed(self, text: str) -> str:
        """What of the text so far can be shown for good."""
        if self.stopped:
            return ""
        if not self._stops:
            return text
        pending = self._held + text
        found = [(at + len(stop), at, stop) for stop in self._stops if (at := pending.find(stop)) >= 0]
        if found:
            # The one complete first wins, as it would had the text come one character at a time.
            _, at, self.stop = min(found)
            self.stopped, self._held = True, ""
            return pending[:at]
        keep = self._could_begin_stop(pending)
        self._held = pending[len(pending) - keep :]
        return pending[: len(pending) - keep]

    def flush(self) -> str:
        """The text still held back, now that none will follow."""
        held, self._held = self._held, ""
        return held

    def _could_begin_stop(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop text."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:length]):
                    longest = length
                    break
        return longest
