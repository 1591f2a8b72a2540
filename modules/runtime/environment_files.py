"""The files of a loader's environment: the marker that makes it valid, and its size on disk."""

from __future__ import annotations

import os
from pathlib import Path

from modules.files.data_files import DataFileError, read_json

MARKER = "paddock.json"


def read_marker(path: Path) -> dict[str, object]:
    """Return the content of the marker file, or {} if it is missing or cannot be read."""
    try:
        marker = read_json(path / MARKER)
    except (OSError, DataFileError):
        return {}
    return marker if isinstance(marker, dict) else {}


def folder_bytes(path: Path) -> int:
    """Return the bytes of all files below `path`. Links are not followed; a file with two names counts once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                facts = Path(folder, name).lstat()
            except OSError:
                continue
            if (facts.st_dev, facts.st_ino) not in seen:
                seen.add((facts.st_dev, facts.st_ino))
                total += facts.st_size
    return total
