"""Text that grows up to a limit, with notes about what it lacks."""

from __future__ import annotations

# About half a million tokens: more than any model here reads.
MOST_CHARACTERS = 2_000_000


class Unreadable(Exception):
    """A document cannot be read. The message continues a sentence that begins with the document's name."""


class LimitedText:
    """Collects a document's text. `full`: the limit is reached, and readers can stop.

    `pages`: where each page begins in the text, of a document with pages.
    """

    def __init__(self, most: int = MOST_CHARACTERS) -> None:
        self.notes: list[str] = []
        self.pages: list[int] = []
        self.full = False
        self._most = most
        self._pieces: list[str] = []
        self._length = 0

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._pieces)

    def begin_page(self) -> None:
        """Note that what is added next is on a new page."""
        self.pages.append(self._length)

    def add(self, text: str) -> None:
        """Add text, as much as fits. The first that does not fit is noted."""
        if self.full:
            return
        # A PDF's fonts may name halves of characters. Two halves become one; a single one could not be stored.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        room = self._most - self._length
        if len(text) > room:
            text = text[:room]
            self.full = True
            self.notes.append(f"Only the first {self._most:,} characters were read.")
        self._pieces.append(text)
        self._length += len(text)
