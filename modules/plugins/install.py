"""Brings an extension's folder in: from a folder, a zip file or a Git address. Nothing of it runs."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from modules.files.paths import PathError, safe_join
from modules.plugins import git, updates
from modules.plugins.code_files import code_files
from modules.plugins.folders import ENTRIES, root_of
from modules.plugins.git import InstallError

MOST_BYTES = 500 * 1024 * 1024
MOST_FILES = 20_000
# A file that unpacks to more than this many times its size is no extension's.
_MOST_RATIO = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}")


def install(source: str, root: Path, repositories: Path) -> Path:
    """Copy the extension at `source` into `root`; returns its folder. `repositories`: where Git's data go. Raises
    InstallError, PathError."""
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".incoming-", ignore_cleanup_errors=True) as place:
        folder, repository = Path(place, "folder"), Path(place, "repository")
        cloned = "://" in source or source.startswith("git@")
        if cloned:
            _clone(source, repository)
            _copy(repository, folder)
            name = name_at(source)
        else:
            name = _bring(Path(source), folder, root)
        target = _settle(name, root_of(folder), root)
        if cloned:
            updates.keep(repository, repositories, target.name)
        return target


def _bring(source: Path, folder: Path, root: Path) -> str:
    """Copy or unpack what is on this machine; its name."""
    try:
        if source.is_dir():
            if root.resolve().is_relative_to(source.resolve()):
                raise InstallError(f"{source} holds Paddock's own extensions, so it is none. Give the folder of one.")
            _copy(source, folder)
            return source.resolve().name
        if source.is_file():
            _unpack(source, folder)
            return source.stem
        there = source.exists()
    except (OSError, shutil.Error) as error:
        raise InstallError(f"{source} cannot be read. Check its permissions.", detail=str(error)) from error
    if there:
        raise InstallError(f"{source} is neither a folder nor an ordinary file. Give a folder or a zip file.")
    raise InstallError(f"There is nothing at {source}. Give a folder, a zip file, or an address like https://….")


def name_at(address: str) -> str:
    """What an extension from this Git address is called."""
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
    """Refuse, before anything is read, what is too large, and files that are none, such as devices and pipes."""
    size = count = 0
    for place, _, files in os.walk(folder):
        for name in files:
            about = Path(place, name).lstat()
            if not (stat.S_ISREG(about.st_mode) or stat.S_ISLNK(about.st_mode)):
                shown = Path(place, name).relative_to(folder)
                raise InstallError(f"{folder.name}/{shown} is no ordinary file. Remove it, or give another folder.")
            count += 1
            size += about.st_size
            if size > MOST_BYTES or count > MOST_FILES:
                raise InstallError(f"{folder.name} is too large for an extension: {_limits()}.")


def _unpack(source: Path, folder: Path) -> None:
    """Unpack a zip file whose entries all stay inside `folder`, counting what really comes out."""
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            _judge(entries, source)
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
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise InstallError(f"{source.name} is not a zip file that can be unpacked.", detail=str(error)) from error
    # Whatever it brings of these would be run by Git, or in place of the sources.
    for name in updates.SKIPPED:
        for path in sorted(folder.rglob(name)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _judge(entries: list[zipfile.ZipInfo], source: Path) -> None:
    """Refuse, before anything is unpacked, what is too large, packed too tightly, or holds links."""
    size = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if size > MOST_BYTES or len(entries) > MOST_FILES:
        raise InstallError(f"{source.name} is too large for an extension: {_limits()}.")
    if size > 1 << 20 and size > _MOST_RATIO * max(1, packed):
        raise InstallError(f"{source.name} unpacks to {size // max(1, packed)} times its size: that is a zip bomb.")
    if any(stat.S_ISLNK(entry.external_attr >> 16) for entry in entries):
        raise InstallError(f"{source.name} holds links, which an extension may not bring.")


def _has_entry(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ENTRIES)


def _settle(name: str, folder: Path, root: Path) -> Path:
    if not _has_entry(folder):
        raise InstallError(f"{name} holds no {' or '.join(ENTRIES)}, so it is no extension.")
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
