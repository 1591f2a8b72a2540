"""The text of one reply on its way out, and the count of its tokens."""

from __future__ import annotations

from typing import Any

from modules.worker.engine import Piece
from modules.worker.stop_strings import StopFilter


class ReplyText:
    """Tokens in, pieces out. `stream` turns tokens into text (hf_text.TextStream); `stopping` finds stop texts."""

    def __init__(self, stopping: StopFilter, stream: Any) -> None:
        self._stopping, self._stream = stopping, stream
        self.generated = self._waiting = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop text came."""
        return self._stopping.stopped

    def take(self, token: int) -> Piece | None:
        """The text that can be shown now that `token` came."""
        self.generated += 1
        self._waiting += 1
        return self._piece(self._stopping.feed(self._stream.push(token)))

    def end(self) -> Piece | None:
        """What was held back, unless it turns out to be a stop text."""
        text = self._stopping.feed(self._stream.finish()) + self._stopping.flush()
        return self._piece(text)

    def _piece(self, text: str) -> Piece | None:
        if not text:
            return None
        waiting, self._waiting = self._waiting, 0
        return Piece(text, waiting)
