"""The working directory of scripts: a folder with the paths of text-generation-webui, wherever Paddock keeps them.

Scripts open `extensions/<name>/…`, `user_data/characters/…` or `models/…` relative to where that program is started.
Here these are links, so that they are right for extensions beside the program and beside the user's data alike.
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
    """Make the folder and its links anew; what scripts wrote into it stays. Returns it, or the program's own folder
    where no links can be made."""
    place = paths.extension_workdir
    links = {name: paths.user_data / name for name in _FOLDERS}
    try:
        # They list them without a look at whether they are there, as text-generation-webui ships them.
        for target in links.values():
            target.mkdir(parents=True, exist_ok=True)
        for parent in (place, place / "user_data"):
            (parent / "extensions").mkdir(parents=True, exist_ok=True)
            for entry in (*parent.iterdir(), *(parent / "extensions").iterdir()):
                _remove_link(entry)
            for name, target in {**links, "models": paths.models}.items():
                _link(parent / name, target)
    except OSError as error:
        _LOG.warning("Scripts run in %s, as no links can be made in %s: %s", paths.root, place, error)
        return paths.root
    return place.resolve()


def add(place: Path, names: Iterable[str], folder: Path) -> None:
    """Let `extensions/<name>` in the working directory lead to an extension's folder."""
    for parent in (place / "extensions", place / "user_data" / "extensions"):
        for name in names:
            with contextlib.suppress(OSError):
                if name == folder.name:
                    # It may lead to another one, which was called so where there was none of that name.
                    _remove_link(parent / name)
                if parent.is_dir() and not (parent / name).exists():
                    _link(parent / name, folder)


def _link(place: Path, target: Path) -> None:
    if place.exists() or not target.is_dir():
        return
    if sys.platform == "win32":
        import _winapi

        # A junction, which needs no rights of an administrator.
        _winapi.CreateJunction(str(target), str(place))
    else:
        place.symlink_to(target, target_is_directory=True)


def _remove_link(place: Path) -> None:
    """Remove a link or a junction; anything else stays."""
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            if place.readlink():
                place.rmdir()
    elif place.is_symlink():
        place.unlink()
