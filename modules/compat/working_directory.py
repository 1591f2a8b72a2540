"""The working directory of scripts: a folder with the paths of text-generation-webui.

Scripts open `extensions/<name>/…`, `user_data/characters/…` or `models/…` relative to the folder where that program is
started. Here these are links to the real folders, for shipped and for the user's own extensions.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable
from pathlib import Path

from modules.files.paths import Paths

_LOG = logging.getLogger(__name__)
_FOLDERS = ("characters", "presets", "logs", "loras", "prompts", "grammars", "instruction-templates", "cache")


def prepare(paths: Paths) -> Path:
    """Create the folder and its links, and keep files that scripts wrote there.

    Return the folder, or the program's own folder if links cannot be created.
    """
    place = paths.extension_workdir
    links = {name: paths.user_data / name for name in _FOLDERS}
    try:
        # Scripts list these without checking that they exist: text-generation-webui ships them.
        for target in links.values():
            target.mkdir(parents=True, exist_ok=True)
        for parent in (place, place / "user_data"):
            (parent / "extensions").mkdir(parents=True, exist_ok=True)
            for entry in (*parent.iterdir(), *(parent / "extensions").iterdir()):
                _remove_link(entry)
            for name, target in {**links, "models": paths.models}.items():
                _link(parent / name, target)
    except OSError as error:
        _LOG.warning("Scripts run in %s, because links cannot be created in %s: %s", paths.root, place, error)
        return paths.root
    return place.resolve()


def add(place: Path, names: Iterable[str], folder: Path) -> None:
    """Link `extensions/<name>` in the working directory to an extension's folder, for each name."""
    for parent in (place / "extensions", place / "user_data" / "extensions"):
        for name in names:
            with contextlib.suppress(OSError):
                if name == folder.name:
                    # It may be a link to another extension whose code uses this name.
                    _remove_link(parent / name)
                if parent.is_dir() and not (parent / name).exists():
                    _link(parent / name, folder)


def _link(place: Path, target: Path) -> None:
    if place.exists() or not target.is_dir():
        return
    if sys.platform == "win32":
        import _winapi

        # A junction needs no administrator rights.
        _winapi.CreateJunction(str(target), str(place))
    else:
        place.symlink_to(target, target_is_directory=True)


def _remove_link(place: Path) -> None:
    """Remove a link or a junction. Keep anything else."""
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            if place.readlink():
                place.rmdir()
    elif place.is_symlink():
        place.unlink()
