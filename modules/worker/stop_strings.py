"""Ends text at a stop text. Text that could become a stop text is held back."""

from __future__ import annotations

from collections.abc import Iterable


class StopFilter:
    """Passes on text up to the first stop text. The result does not depend on how the text is cut into pieces.

    `stopped`: a stop text was found, and no more text is passed on. `stop`: that stop text.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False
        self.stop = ""

    def feed(self, text: str) -> str:
        """Add text. Return what can be shown now."""
        if self.stopped:
            return ""
        if not self._stops:
            return text
        pending = self._held + text
        found = [(at + len(stop), at, stop) for stop in self._stops if (at := pending.find(stop)) >= 0]
        if found:
            # Take the stop text that is complete first, as if the text came one character at a time.
            _, at, self.stop = min(found)
            self.stopped, self._held = True, ""
            return pending[:at]
        keep = self._could_begin_stop(pending)
        self._held = pending[len(pending) - keep :]
        return pending[: len(pending) - keep]

    def flush(self) -> str:
        """Return the text that was held back, at the end of the text."""
        held, self._held = self._held, ""
        return held

    def _could_begin_stop(self, text: str) -> int:
        """Return the length of the longest end of `text` that is the beginning of a stop text."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:length]):
                    longest = length
                    break
        return longest
