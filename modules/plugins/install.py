"""Installs an extension from a folder, a zip file or a Git address, without running any of its code."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from modules.files.paths import PathError, safe_join
from modules.files.zip_errors import ZIP_ERRORS
from modules.plugins import git, updates
from modules.plugins.code_files import code_files
from modules.plugins.folders import ENTRIES, root_of
from modules.plugins.git import InstallError

MOST_BYTES = 500 * 1024 * 1024
MOST_FILES = 20_000
# A file that unpacks to more than this many times its size is refused.
_MOST_RATIO = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}")


def install(source: str, root: Path, repositories: Path) -> Path:
    """Copy the extension at `source` into `root`, and return its folder.

    `repositories`: the folder for Git's data. Raises InstallError and PathError.
    """
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".incoming-", ignore_cleanup_errors=True) as place:
        folder, repository = Path(place, "folder"), Path(place, "repository")
        cloned = "://" in source or source.startswith("git@")
        if cloned:
            _clone(source, repository)
            _copy(repository, folder)
            name = name_at(source)
        else:
            name = _copy_or_unpack(Path(source), folder, root)
        target = _move_into_place(name, root_of(folder), root)
        if cloned:
            updates.store_repository(repository, repositories, target.name)
        return target


def _copy_or_unpack(source: Path, folder: Path, root: Path) -> str:
    """Copy a folder or unpack a file on this machine. Return the extension's name."""
    try:
        if source.is_dir():
            if root.resolve().is_relative_to(source.resolve()):
                raise InstallError(f"{source} contains Paddock's own extensions. Give the folder of one extension.")
            _copy(source, folder)
            return source.resolve().name
        if source.is_file():
            _unpack(source, folder)
            return source.stem
        there = source.exists()
    except (OSError, shutil.Error) as error:
        raise InstallError(f"{source} cannot be read. Check its permissions.", detail=str(error)) from error
    if there:
        raise InstallError(f"{source} is neither a folder nor a regular file. Give a folder or a zip file.")
    raise InstallError(f"There is nothing at {source}. Give a folder, a zip file, or an address like https://….")


def name_at(address: str) -> str:
    """Return the name of an extension from this Git address."""
    return address.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git")


def _clone(source: str, folder: Path) -> None:
    git.clone(source, folder)
    _measure(folder)
    git.fetch_submodules(source, folder)
    _measure(folder)


def _copy(source: Path, folder: Path) -> None:
    _measure(source)
    shutil.copytree(source, folder, symlinks=True, ignore=shutil.ignore_patterns(*updates.SKIPPED))


def _measure(folder: Path) -> None:
    """Refuse folders that are too large or contain devices or pipes, before any file is read. Raises InstallError."""
    size = count = 0
    for place, _, files in os.walk(folder):
        for name in files:
            about = Path(place, name).lstat()
            if not (stat.S_ISREG(about.st_mode) or stat.S_ISLNK(about.st_mode)):
                shown = Path(place, name).relative_to(folder)
                raise InstallError(f"{folder.name}/{shown} is not a regular file. Remove it, or give another folder.")
            count += 1
            size += about.st_size
            if size > MOST_BYTES or count > MOST_FILES:
                raise InstallError(f"{folder.name} is too large for an extension: {_limits()}.")


def _unpack(source: Path, folder: Path) -> None:
    """Unpack a zip file into `folder`. Entries must stay inside it; the unpacked bytes are counted."""
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            _check_entries(entries, source)
            left = MOST_BYTES
            for entry in entries:
                target = safe_join(folder, entry.filename.rstrip("/"))
                if entry.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as packed, target.open("xb") as file:
                    while block := packed.read(1 << 16):
                        left -= len(block)
                        if left < 0:
                            raise InstallError(f"{source.name} is too large for an extension: {_limits()}.")
                        file.write(block)
    except ZIP_ERRORS as error:
        raise InstallError(f"{source.name} is not a zip file that can be unpacked.", detail=str(error)) from error
    # Git would run what is in these, or Python would import it instead of the sources.
    for name in updates.SKIPPED:
        for path in sorted(folder.rglob(name)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _check_entries(entries: list[zipfile.ZipInfo], source: Path) -> None:
    """Refuse archives that are too large, compressed too strongly, or contain links, before unpacking."""
    size = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if size > MOST_BYTES or len(entries) > MOST_FILES:
        raise InstallError(f"{source.name} is too large for an extension: {_limits()}.")
    if size > 1 << 20 and size > _MOST_RATIO * max(1, packed):
        raise InstallError(
            f"{source.name} unpacks to {size // max(1, packed)} times its size, so it is refused as a zip bomb."
        )
    if any(stat.S_ISLNK(entry.external_attr >> 16) for entry in entries):
        raise InstallError(f"{source.name} contains links, which an extension may not have. Replace them with files.")


def _has_entry(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ENTRIES)


def _move_into_place(name: str, folder: Path, root: Path) -> Path:
    if not _has_entry(folder):
        raise InstallError(f"{name} contains no {' or '.join(ENTRIES)}, so it is not an extension.")
    if folder.parent.name != root.name and folder.name != "folder":
        name = PurePosixPath(folder.name).name
    if not _NAME.fullmatch(name):
        raise PathError(f"{name!r} cannot be an extension's name. Rename the folder: letters, digits, spaces and ._-.")
    try:
        code_files(folder)
    except ValueError as error:
        raise InstallError(f"{name} was not installed. {error}") from error
    target = safe_join(root, name)
    if any(path.name.casefold() == name.casefold() for path in root.iterdir()):
        raise InstallError(f"There is an extension named {name} already. Remove or rename {target} first.")
    folder.rename(target)
    return target


def _limits() -> str:
    return f"at most {MOST_FILES} files and {MOST_BYTES >> 20} MB"
