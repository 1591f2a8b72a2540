"""Read what an engine's `generate` yields to its end."""

from __future__ import annotations

from collections.abc import Generator

from modules.protocol.errors import PaddockError
from modules.worker.engine import Outcome, Piece


def whole_reply(pieces: Generator[Piece, None, Outcome]) -> tuple[str, Outcome]:
    """Return (text, outcome). A PaddockError that is raised has the text so far as its `text`."""
    text = ""
    while True:
        try:
            text += next(pieces).text
        except StopIteration as end:
            outcome: Outcome = end.value
            return text, outcome
        except PaddockError as error:
            error.text = text  # type: ignore[attr-defined]
            raise
