"""Parts of an extension that its repository only names: Git submodules."""

from __future__ import annotations

import configparser
from pathlib import Path

from modules.files.paths import PathError, safe_join


def declared(folder: Path) -> dict[str, str]:
    """Path (with slashes) -> address of each submodule that `.gitmodules` declares; none where it cannot be read."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string((folder / ".gitmodules").read_text(encoding="utf-8"))
    except (OSError, ValueError, configparser.Error):
        return {}
    found = {parser[section].get("path", ""): parser[section].get("url", "") for section in parser.sections()}
    return {path: address for path, address in found.items() if path}


def unfetched(folder: Path) -> list[str]:
    """The paths of submodules whose folder is empty, or not there."""
    return [path for path in declared(folder) if _is_empty(folder, path)]


def _is_empty(folder: Path, path: str) -> bool:
    try:
        place = safe_join(folder, path)
    except PathError:
        return False
    return not place.is_dir() or not any(place.iterdir())
