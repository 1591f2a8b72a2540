"""Git submodules of an extension."""

from __future__ import annotations

import configparser
from pathlib import Path

from modules.files.paths import PathError, safe_join


def declared(folder: Path) -> dict[str, str]:
    """Return the addresses of the submodules in `.gitmodules` by path (with slashes); {} if it cannot be read."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string((folder / ".gitmodules").read_text(encoding="utf-8"))
    except (OSError, ValueError, configparser.Error):
        return {}
    found = {parser[section].get("path", ""): parser[section].get("url", "") for section in parser.sections()}
    return {path: address for path, address in found.items() if path}


def unfetched(folder: Path) -> list[str]:
    """Return the paths of submodules whose folder is empty or missing."""
    return [path for path in declared(folder) if _is_empty(folder, path)]


def _is_empty(folder: Path, path: str) -> bool:
    try:
        place = safe_join(folder, path)
    except PathError:
        return False
    return not place.is_dir() or not any(place.iterdir())
