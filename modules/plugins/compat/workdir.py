"""The working directory of scripts: a folder with the paths of text-generation-webui, wherever Paddock keeps them.

Scripts open `extensions/<name>/…`, `user_data/characters/…` or `models/…` relative to where that program is started.
Here these are links, so that they are right for extensions beside the program and beside the user's data alike.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import sys
from collections.abc import Container, Iterable
from pathlib import Path

from modules.paths import Paths
from modules.plugins.compat.imports import alike

_LOG = logging.getLogger(__name__)
_FOLDERS = ("characters", "presets", "logs", "loras", "prompts", "grammars", "instruction-templates", "cache")
# "extensions/<name>/<entry>…", Path("extensions") / "<name>", os.path.join("extensions", "<name>")
_PATH = re.compile(r"""\bextensions(?:[/\\]+|["']\)?\s*[,/]\s*["'])([\w-]+)(?:[/\\]+([\w.-]+))?""")
_MOST_FILES = 1000


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


def own_names(folder: Path, others: Container[str]) -> list[str]:
    """What the code of an extension calls its folder in paths: names that are alike, or lead to an entry that it has.
    `others`: names of extensions that there are."""
    found: set[tuple[str, str]] = set()
    files = (file for file in folder.rglob("*.py") if not file.relative_to(folder).parts[0].startswith("."))
    for file in itertools.islice(files, _MOST_FILES):
        with contextlib.suppress(OSError):
            found.update(_PATH.findall(file.read_text(encoding="utf-8", errors="replace")))
    # A script.py is in every folder, so it proves nothing.
    own = {
        name
        for name, entry in found
        if alike(name, folder.name) or (entry not in ("", "script.py") and (folder / entry).exists())
    }
    return sorted(name for name in own if name not in others)


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
