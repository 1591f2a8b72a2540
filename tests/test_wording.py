"""Turns of phrase that readers who learned English second stumble over stay rare, in code, comments and docs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "docs", "extensions", "loaders", "modules", "paddock", "tests")
ENDINGS = {".py", ".md", ".js", ".css"}
MOST_LINES = 29
WORDS = r"\b(?:anew|whoever|nobody|told|tells|meanwhile|mend(?:s|ed|ing)?|of its own|goes on)\b"
MARKS = re.compile(WORDS, re.IGNORECASE)


def _lines() -> list[str]:
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.suffix in ENDINGS]
    files += [file for file in ROOT.iterdir() if file.suffix in ENDINGS]
    return [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in files
        if file != Path(__file__).resolve() and "node_modules" not in file.parts
        for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1)
        if MARKS.search(line)
    ]


def test_marks_of_riddles_stay_rare() -> None:
    found = _lines()
    assert len(found) <= MOST_LINES, "\n".join(found)
    # The search finds them at all.
    assert MARKS.search("It goes on, whoever asks.") and not MARKS.search("It continues, and mentions no one.")
