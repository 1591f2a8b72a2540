"""Check that no line of a style sheet is too long: `python -m tests.css_lines FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

MAX_LENGTH = 120


def long_lines(folder: Path) -> list[str]:
    """Return "file:line: length" of each line of the folder's CSS files that is longer than 120 characters."""
    return [
        f"{path}:{number}: {len(line)} characters, at most {MAX_LENGTH} are allowed"
        for path in sorted(folder.rglob("*.css"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > MAX_LENGTH
    ]


def main() -> int:
    """Print the long lines. Return 1 if there are any, else 0."""
    found = long_lines(Path(sys.argv[1]))
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
