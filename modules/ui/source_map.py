"""Source maps (https://tc39.es/ecma426/) that map whole lines, so that browsers' tools show files that were joined."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# A digit has five bits of a number. Its sixth bit says that another digit follows.
_BITS, _MORE = 5, 1 << 5


@dataclass(frozen=True)
class MappedSource:
    """A file in the joined one: its name, its text, the number of lines before it there, and its own lines."""

    name: str
    text: str
    start: int
    lines: int


def line_map(name: str, sources: Iterable[MappedSource]) -> dict[str, object]:
    """Return the source map of the file `name`. Its lines outside of `sources` are mapped to nothing."""
    sources = list(sources)
    mappings: list[str] = []
    before = (0, 0)
    for index, source in enumerate(sources):
        mappings += [""] * (source.start - len(mappings))
        for line in range(source.lines):
            # The column here, and the differences from the last mapping: file, line, column there.
            mappings.append("".join(map(encode, (0, index - before[0], line - before[1], 0))))
            before = (index, line)
    return {
        "version": 3,
        "file": name,
        "sources": [source.name for source in sources],
        "sourcesContent": [source.text for source in sources],
        "names": [],
        "mappings": ";".join(mappings),
    }


def encode(number: int) -> str:
    """Return a whole number as a Base64 VLQ: the lowest bit is the sign, the lowest five bits come first."""
    rest = abs(number) << 1 | (number < 0)
    digits = []
    while True:
        digit, rest = rest & (_MORE - 1), rest >> _BITS
        digits.append(_DIGITS[digit | (_MORE if rest else 0)])
        if not rest:
            return "".join(digits)
