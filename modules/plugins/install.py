"""Brings an extension's folder in: from a folder, a zip file or a Git address. Nothing of it runs."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from modules.paths import PathError, inside
from modules.plugins.folders import ENTRIES, fingerprint
from modules.plugins.submodules import declared, unfetched
from modules.protocol.errors import PaddockError

MOST_BYTES = 500 * 1024 * 1024
MOST_FILES = 20_000
# A file that unpacks to more than this many times its size is no extension's.
_MOST_RATIO = 200
_SECONDS = 900
_ADDRESS = re.compile(r"(?:https|ssh|file)://[A-Za-z0-9._~@:/%+-]+")
# A submodule's, as seen from the address of the whole.
_RELATIVE = re.compile(r"(?:\.\.?/)+[A-Za-z0-9_~][A-Za-z0-9._~+-]*(?:/[A-Za-z0-9_~][A-Za-z0-9._~+-]*)*")
# Submodules of submodules.
_MOST_DEPTH = 4
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}")


class InstallError(PaddockError):
    """An extension that was not brought in; nothing of it is left."""

    code = "extension"


def install(source: str, root: Path) -> Path:
    """Copy the extension at `source` into `root`; returns its folder. Raises InstallError, PathError."""
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".incoming-") as place:
        folder = Path(place) / "folder"
        if "://" in source or source.startswith("git@"):
            name = _clone(source, folder)
        elif not Path(source).exists():
            raise InstallError(
                f"There is nothing at {source}. Give a folder, a zip file, or an address like https://…."
            )
        elif Path(source).is_dir():
            name = _copy(Path(source), folder)
        else:
            name = _unpack(Path(source), folder)
        return _settle(name, _root_of(folder), root)


def name_at(address: str) -> str:
    """What an extension from this Git address is called."""
    return address.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git")


def pull(source: str, folder: Path) -> None:
    """Bring an extension that was cloned up to what is at `source` now; files that are not the repository's stay, and
    so does one of it that was changed: then InstallError is raised."""
    if not (folder / ".git").is_dir():
        raise InstallError(
            f"{folder.name} was not cloned with Git, so it cannot be updated. Remove it, and install it."
        )
    _check_address(source)
    _git(source, "-C", str(folder), "pull", "--quiet", "--ff-only", "--no-recurse-submodules", "--", source)
    _fetch_submodules(source, folder)


def _check_address(source: str) -> None:
    if not _ADDRESS.fullmatch(source) or "/../" in source:
        raise InstallError(
            f"{source!r} is not an address that can be cloned. Use one that begins with https:// or ssh:// and holds "
            "letters, digits and ._~@:/%+- alone."
        )


def _clone(source: str, folder: Path) -> str:
    _check_address(source)
    _git(source, "clone", "--quiet", "--depth", "1", "--no-recurse-submodules", "--", source, str(folder))
    _measure(folder)
    _fetch_submodules(source, folder)
    return name_at(source)


def _fetch_submodules(source: str, folder: Path, depth: int = _MOST_DEPTH) -> None:
    """Fetch what the repository in `folder` only names, and what that names in turn: from addresses of the same kinds
    as `source`."""
    # A folder that is not there is one that is declared and no part of the repository any more.
    addresses = declared(folder)
    wanted = [path for path in unfetched(folder) if (folder / path).is_dir()]
    for path in wanted:
        address = addresses[path]
        if not (_ADDRESS.fullmatch(address) or _RELATIVE.fullmatch(address)):
            raise InstallError(
                f"{source} was not installed: its part {path} lies at {address!r}, which is not an address that can be "
                "cloned from here. Clone all of it with git clone --recurse-submodules, and give that folder."
            )
    if wanted and depth:
        update = ["submodule", "--quiet", "update", "--init", "--checkout", "--depth", "1", "--", *wanted]
        _git(source, "--literal-pathspecs", "-C", str(folder), *update)
        _measure(folder)
        for path in wanted:
            _fetch_submodules(source, inside(folder, path), depth - 1)


def _git(source: str, *command: str) -> None:
    """Run Git for what comes from `source`; it asks nothing, and runs nothing of what comes."""
    settings = ["protocol.ext.allow=never", "core.symlinks=false", "core.hooksPath=/dev/null", "core.fsmonitor=false"]
    options = [part for value in settings for part in ("-c", value)]
    # What comes from elsewhere may name nothing on this machine.
    allowed = "https:ssh:file" if source.startswith("file:") else "https:ssh"
    own = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
    try:
        answer = subprocess.run(
            ["git", *options, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            env={**os.environ, **own, "GIT_ALLOW_PROTOCOL": allowed},
        )
    except FileNotFoundError:
        raise InstallError("Git is not installed, so nothing can be cloned. Install it, or give a folder.") from None
    except subprocess.TimeoutExpired:
        raise InstallError(f"{source} did not arrive within {_SECONDS // 60} minutes. Try again later.") from None
    if answer.returncode != 0:
        part = " with all its submodules" if "submodule" in command else ""
        raise InstallError(f"{source} could not be cloned{part}. Check the address.", detail=answer.stderr[-4000:])


def _copy(source: Path, folder: Path) -> str:
    _measure(source)
    shutil.copytree(source, folder, symlinks=True, ignore=shutil.ignore_patterns(".git", "__pycache__"))
    return source.resolve().name


def _measure(folder: Path) -> None:
    size = count = 0
    for place, _, files in os.walk(folder):
        for name in files:
            count += 1
            size += Path(place, name).lstat().st_size
            if size > MOST_BYTES or count > MOST_FILES:
                raise InstallError(f"{folder.name} is too large for an extension: {_limits()}.")


def _unpack(source: Path, folder: Path) -> str:
    """Unpack a zip file whose entries all stay inside `folder`, counting what really comes out."""
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            _judge(entries, source)
            left = MOST_BYTES
            for entry in entries:
                target = inside(folder, entry.filename.rstrip("/"))
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
    return source.stem


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


def _root_of(folder: Path) -> Path:
    """The folder that holds the entry file: a zip often has one folder around it."""
    if not _has_entry(folder):
        within = [path for path in folder.iterdir() if path.is_dir() and path.name != "__MACOSX"]
        if len(within) == 1 and _has_entry(within[0]):
            return within[0]
    return folder


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
        fingerprint(folder)
    except ValueError as error:
        raise InstallError(f"{name} was not installed. {error}") from error
    target = inside(root, name)
    if any(path.name.casefold() == name.casefold() for path in root.iterdir()):
        raise InstallError(f"There is an extension named {name} already. Remove or rename {target} first.")
    folder.rename(target)
    return target


def _limits() -> str:
    return f"at most {MOST_FILES} files and {MOST_BYTES >> 20} MB"
