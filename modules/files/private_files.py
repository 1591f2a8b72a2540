"""Makes the user's data private: other accounts of the machine can read neither chats nor keys.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

# Extension code: thousands of files without secrets.
_LARGE = ("extension_packages", "knowledge_packages", "extensions", "extension_repositories")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private(folder: Path, excluded_folders: Iterable[Path] = ()) -> None:
    """Create `folder` with mode 0700, and remove other users' rights from existing files in it.

    `excluded_folders`: folders in it that keep their modes, such as models/. Links are not followed. Large folders of
    code are skipped once they are private themselves.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.name == "nt":
        return  # Home folders are private on Windows.
    excluded = {path.resolve() for path in excluded_folders}
    if any(folder.resolve().is_relative_to(path) for path in excluded):
        return
    _restrict(folder)
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(place, name).resolve() not in excluded]
        changed = {name for name in [*folders, *files] if _restrict(Path(place, name))}
        folders[:] = [name for name in folders if name in changed or name not in _LARGE]


def create_private(path: Path) -> None:
    """Create an empty file with mode 0600 if it does not exist. SQLite gives its -wal and -shm files the same mode."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    _restrict(path)


def _restrict(path: Path) -> bool:
    """Remove other users' rights. Return True if there were any."""
    try:
        mode = path.lstat().st_mode
        if not mode & _OTHERS or stat.S_ISLNK(mode):
            return False
        path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
        return True
    except OSError:
        return False
