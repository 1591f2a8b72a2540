"""Names of files that are shown: the file system may hold bytes that are no text."""

from __future__ import annotations


def printable_name(name: str) -> str:
    """Return a file name with "�" for each byte that is not UTF-8. What the page and the API send must be text."""
    return name.encode(errors="surrogateescape").decode(errors="replace")
