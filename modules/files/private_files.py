"""The user's data is the user's alone: on a machine with several accounts, others read neither chats nor keys.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

# Of extensions: thousands of files, which are no secret.
_LARGE = ("extension_packages", "extensions", "extension_repositories")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private(folder: Path, besides: Iterable[Path] = ()) -> None:
    """Make `folder` with mode 0700, and take others' rights from what lies in it already, also from an earlier version.

    `besides`: folders in it that keep theirs, such as models/. Links are not followed. Folders of code with many files
    are passed over once they are private themselves.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.name == "nt":
        return  # A home there is private as it is.
    kept = {path.resolve() for path in besides}
    if any(folder.resolve().is_relative_to(path) for path in kept):
        return
    _restrict(folder)
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(place, name).resolve() not in kept]
        changed = {name for name in [*folders, *files] if _restrict(Path(place, name))}
        folders[:] = [name for name in folders if name in changed or name not in _LARGE]


def create_private(path: Path) -> None:
    """Make an empty file with mode 0600, unless there is one. SQLite gives its -wal and -shm the same mode."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    _restrict(path)


def _restrict(path: Path) -> bool:
    """Take others' rights; whether there were any."""
    try:
        mode = path.lstat().st_mode
        if not mode & _OTHERS or stat.S_ISLNK(mode):
            return False
        path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
        return True
    except OSError:
        return False
