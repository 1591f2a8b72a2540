"""Updates extensions that were cloned with Git.

The repository with its original files is kept outside of the extension's folder, so that nothing of Git's data can be
imported. The extension's folder holds a copy. An update changes only files of the copy that the user has not changed.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from pathlib import Path

from modules.files.paths import safe_join
from modules.plugins import git
from modules.plugins.folders import root_of
from modules.plugins.git import InstallError

SKIPPED = (".git", "__pycache__")
_MOST_NAMED = 5


def store_repository(repository: Path, repositories: Path, name: str) -> None:
    """Store the repository of the extension of this name. Replaces one that was stored before."""
    repositories.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repositories, prefix=".old-", ignore_cleanup_errors=True) as old:
        target = safe_join(repositories, name)
        if target.exists():
            target.rename(Path(old) / "repository")
        shutil.move(repository, target)


def update(source: str, folder: Path, repositories: Path) -> None:
    """Update a cloned extension from `source`. Files that do not belong to the repository stay.

    Raises InstallError, and changes nothing, if the user changed a file that the update changes too.
    """
    stored = repositories / folder.name
    if not (stored / ".git").is_dir():
        _pull_in_place(source, folder)
        return
    with tempfile.TemporaryDirectory(dir=repositories, prefix=".update-", ignore_cleanup_errors=True) as place:
        fresh = Path(place) / folder.name
        shutil.copytree(stored, fresh, symlinks=True)
        git.pull(source, fresh)
        git.fetch_submodules(source, fresh)
        # The extension may be one folder of the repository.
        part = root_of(stored).relative_to(stored)
        old, new = stored / part, fresh / part
        if root_of(fresh) != new:
            raise InstallError(
                f"{folder.name} was not updated: it has moved to another folder of its repository. Remove it, then "
                "install it again."
            )
        changes = _changes(old, new)
        if edited := [name for name in changes if not _is_unedited(safe_join(folder, name), old / name, new / name)]:
            more = f" and {len(edited) - _MOST_NAMED} more" if len(edited) > _MOST_NAMED else ""
            raise InstallError(
                f"{folder.name} was not updated: {', '.join(edited[:_MOST_NAMED])}{more} changed both here and in the "
                "update. Move your changes away, then update it again."
            )
        # Delete first, then write: a file may become a folder.
        for name in sorted(changes, key=lambda name: (new / name).is_file()):
            _write(new / name, safe_join(folder, name), folder)
        store_repository(fresh, repositories, folder.name)


def _pull_in_place(source: str, folder: Path) -> None:
    """Update a clone that the user put there, in its own folder."""
    if not (folder / ".git").is_dir():
        raise InstallError(
            f"{folder.name} was not cloned with Git, so it cannot be updated. Remove it, then install it again."
        )
    git.pull(source, folder)
    git.fetch_submodules(source, folder)


def _changes(before: Path, after: Path) -> list[str]:
    """Return the paths (with slashes) of files that differ between two trees or are in only one of them."""
    names = sorted(_files(before) | _files(after))
    return [name for name in names if not _same(before / name, after / name)]


def _files(folder: Path) -> set[str]:
    paths = (path for path in folder.rglob("*") if not path.is_dir())
    inner = (path.relative_to(folder) for path in paths)
    return {path.as_posix() for path in inner if not set(SKIPPED) & set(path.parts)}


def _same(one: Path, other: Path) -> bool:
    if one.is_file() and other.is_file():
        return filecmp.cmp(one, other, shallow=False)
    return all(path.is_dir() or not os.path.lexists(path) for path in (one, other))


def _is_unedited(here: Path, before: Path, after: Path) -> bool:
    """Return True if a file is as it was installed, or as the update would make it.

    A folder counts as unedited if it has no further files.
    """
    if here.is_dir():
        return _files(here) <= _files(before)
    return _same(here, before) or _same(here, after)


def _write(source: Path, target: Path, folder: Path) -> None:
    """Copy one file from `source`, or delete it if it is gone there."""
    if not source.is_file():
        target.unlink(missing_ok=True)
        for parent in target.parents:
            if parent == folder or any(parent.iterdir()):
                break
            parent.rmdir()
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".update-", delete=False) as file:
            fresh = Path(file.name)
        shutil.copy2(source, fresh)
        fresh.replace(target)
    except OSError as error:
        raise InstallError(
            f"{folder.name} was updated only in part: {target.name} could not be written ({error.strerror}). Free some "
            "disk space, then update it again."
        ) from error
