"""Find the texts in markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

# Attributes whose value is shown or spoken.
_ATTRIBUTES = frozenset({"aria-label", "title", "placeholder", "alt"})


def numbered(text: str) -> str:
    """Return `text` with {0}, {1}, … in place of each null."""
    for number in range(text.count("\0")):
        text = text.replace("\0", f"{{{number}}}", 1)
    return text


class _Markup(HTMLParser):
    """Collects the texts of markup, with their lines."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(self.getpos()[0], value) for name, value in attrs if name in _ATTRIBUTES and value]

    def handle_data(self, data: str) -> None:
        # The parser names the element of a script or a style while it reads it.
        if not self.cdata_elem:
            self.found.append((self.getpos()[0], data))


def markup_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each text and each attribute that is shown. {{name}} becomes {0}, …"""
    yield from texts_in_markup(path.read_text(encoding="utf-8"))


def texts_in_markup(text: str, first: int = 1) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each text and each attribute. `first`: the line that the markup begins on."""
    parser = _Markup()
    parser.feed(text)
    for line, found in parser.found:
        shown = numbered(re.sub(r"\{\{\w+\}\}|\{\d+\}", "\0", found)).strip()
        if re.search(r"[A-Za-z]{3}", re.sub(r"\{\d+\}", "", shown)):
            yield line + first - 1, shown
