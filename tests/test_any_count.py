"""How many lines of the program mention `Any`."""

from __future__ import annotations

import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Lower it when the number falls. Write a TypedDict, a dataclass, `object` or Mapping[str, object] before raising it.
MOST_LINES = 1_100


def _lines_with_any(file: Path) -> int:
    """Return how many lines of code, without imports, comments and texts, mention the name."""
    lines: set[int] = set()
    in_import = False
    with tokenize.open(file) as source:
        for token in tokenize.generate_tokens(source.readline):
            if token.type == tokenize.NAME and token.string == "import":
                in_import = True
            elif token.type == tokenize.NEWLINE:
                in_import = False
            elif token.type == tokenize.NAME and token.string == "Any" and not in_import:
                lines.add(token.start[0])
    return len(lines)


def test_untyped_values_do_not_become_more() -> None:
    files = (
        file for folder in ("modules", "loaders", "extensions", "paddock") for file in (ROOT / folder).rglob("*.py")
    )
    assert sum(map(_lines_with_any, files)) <= MOST_LINES
