"""Git's data of extensions, outside of their folders: nothing there can be imported, and updates still work.

The repository lies in a folder of Paddock's own, with its files as they came; the extension's folder holds a copy. An
update changes those files of the copy that are as they came.
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


def keep(repository: Path, repositories: Path, name: str) -> None:
    """Keep the repository that the extension of this name came from, in place of one that was kept before."""
    repositories.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repositories, prefix=".old-", ignore_cleanup_errors=True) as old:
        target = safe_join(repositories, name)
        if target.exists():
            target.rename(Path(old) / "repository")
        shutil.move(repository, target)


def update(source: str, folder: Path, repositories: Path) -> None:
    """Bring an extension that was cloned up to what is at `source` now. Files that are not the repository's stay.

    Raises InstallError, and changes nothing, where a file that is to change was changed here.
    """
    kept = repositories / folder.name
    if not (kept / ".git").is_dir():
        _pull_in_place(source, folder)
        return
    with tempfile.TemporaryDirectory(dir=repositories, prefix=".update-", ignore_cleanup_errors=True) as place:
        fresh = Path(place) / folder.name
        shutil.copytree(kept, fresh, symlinks=True)
        git.pull(source, fresh)
        git.fetch_submodules(source, fresh)
        # The extension may be one folder of the repository.
        part = root_of(kept).relative_to(kept)
        old, new = kept / part, fresh / part
        if root_of(fresh) != new:
            raise InstallError(f"{folder.name} was not updated: it lies elsewhere there. Remove it, and install it.")
        changes = _changes(old, new)
        if edited := [name for name in changes if not _as_it_came(safe_join(folder, name), old / name, new / name)]:
            more = f" and {len(edited) - _MOST_NAMED} more" if len(edited) > _MOST_NAMED else ""
            raise InstallError(
                f"{folder.name} was not updated: {', '.join(edited[:_MOST_NAMED])}{more} changed both here and there. "
                "Put your changes aside, and update it again."
            )
        # What goes makes room for what comes: a file may become a folder.
        for name in sorted(changes, key=lambda name: (new / name).is_file()):
            _bring(new / name, safe_join(folder, name), folder)
        keep(fresh, repositories, folder.name)


def _pull_in_place(source: str, folder: Path) -> None:
    """Update a clone that somebody put there with its Git data, which stay where they are."""
    if not (folder / ".git").is_dir():
        raise InstallError(
            f"{folder.name} was not cloned with Git, so it cannot be updated. Remove it, and install it."
        )
    git.pull(source, folder)
    git.fetch_submodules(source, folder)


def _changes(before: Path, after: Path) -> list[str]:
    """The paths (with slashes) of files that differ between two trees, or are in one alone."""
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


def _as_it_came(here: Path, before: Path, after: Path) -> bool:
    """Whether a file is as it was brought, or as the update would make it. A folder is where it holds nothing else."""
    if here.is_dir():
        return _files(here) <= _files(before)
    return _same(here, before) or _same(here, after)


def _bring(source: Path, target: Path, folder: Path) -> None:
    """Make one file as it is at `source`, also where it is gone."""
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
            f"{folder.name} was updated in part: {target.name} could not be written ({error.strerror}). Free some disk "
            "space, and update it again."
        ) from error
