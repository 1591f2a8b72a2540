"""Turns the tokens of one reply into pieces of text, and counts them."""

from __future__ import annotations

from typing import Protocol

from modules.protocol.events import ReplyLogprob
from modules.worker.engine import Piece
from modules.worker.stop_strings import StopFilter


class TokenStream(Protocol):
    """Decodes the tokens of a reply one by one."""

    def push(self, token: int) -> str:
        """Return the text that is complete with this token."""

    def finish(self) -> str:
        """Return the text that is left at the end."""


class ReplyText:
    """Takes tokens and returns pieces. `stream` decodes tokens (hf.detokenizer.TextStream); `stopping` ends it."""

    def __init__(self, stopping: StopFilter, stream: TokenStream) -> None:
        self._stopping, self._stream = stopping, stream
        self.generated = self._waiting = 0
        self._logprobs: list[ReplyLogprob] = []

    @property
    def stopped(self) -> bool:
        """True if a stop text was found."""
        return self._stopping.stopped

    def take(self, token: int, logprob: ReplyLogprob | None = None) -> Piece | None:
        """Add a token and its entry of Chunk.logprobs. Return the text that can be shown now, or None."""
        self.generated += 1
        self._waiting += 1
        if logprob:
            self._logprobs.append(logprob)
        return self._piece(self._stopping.feed(self._stream.push(token)))

    def end(self) -> Piece | None:
        """Return the text that was held back, unless it is a stop text."""
        text = self._stopping.feed(self._stream.finish()) + self._stopping.flush()
        return self._piece(text)

    def _piece(self, text: str) -> Piece | None:
        if not text:
            return None
        waiting, self._waiting = self._waiting, 0
        logprobs, self._logprobs = self._logprobs, []
        return Piece(text, waiting, tuple(logprobs))
