"""Runs Git for extensions from an address, without prompts and without running anything that is fetched."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from modules.files.paths import safe_join
from modules.plugins.submodules import declared
from modules.protocol.errors import PaddockError
from modules.system.child_environment import git_environment

_SECONDS = 900
_ADDRESS = re.compile(r"(?:https|ssh|file)://[A-Za-z0-9._~@:/%+-]+")
# The address of a submodule, relative to that of the repository.
_RELATIVE = re.compile(r"(?:\.\.?/)+[A-Za-z0-9_~][A-Za-z0-9._~+-]*(?:/[A-Za-z0-9_~][A-Za-z0-9._~+-]*)*")
# Levels of nested submodules.
_MOST_DEPTH = 4
_SETTINGS = ("protocol.ext.allow=never", "core.symlinks=false", "core.hooksPath=/dev/null", "core.fsmonitor=false")
# Settings that Git itself writes into a clone. Other settings can name programs that Git runs.
_PLAIN = re.compile(
    r"core\.(?:repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|worktree)"
    r"|remote\..*\.(?:url|fetch)|branch\..*\.(?:remote|merge)|submodule\.(?:active|.*\.(?:url|active))"
)
_SECRET = re.compile(r"(?<=://)[^\s'\"]*@")


class InstallError(PaddockError):
    """An extension was not installed or updated. Nothing was changed."""

    code = "extension"


def without_secrets(text: str) -> str:
    """Return a text without the user names and passwords in its addresses."""
    return _SECRET.sub("", text)


def check_address(source: str) -> None:
    """Raise InstallError if `source` is not an address that can be cloned."""
    if not _ADDRESS.fullmatch(source) or "/../" in source:
        raise InstallError(
            f"{without_secrets(source)!r} is not an address that can be cloned. Use one that begins with https:// or "
            "ssh:// and contains only letters, digits and ._~@:/%+-."
        )


def clone(source: str, folder: Path) -> None:
    """Clone the newest commit, without its submodules. Raises InstallError."""
    check_address(source)
    _git(source, "clone", "--quiet", "--depth", "1", "--no-recurse-submodules", "--", source, str(folder))


def pull(source: str, folder: Path) -> None:
    """Update a clone from `source`, without its submodules.

    Raises InstallError, also if the clone's settings could make Git run a program.
    """
    check_address(source)
    for path in (folder / ".git" / "config", *(folder / ".git" / "modules").rglob("config")):
        listed = _git(source, "config", "--file", str(path), "--no-includes", "--list", "--name-only")
        if odd := [name for name in listed.split() if not _PLAIN.fullmatch(name)]:
            raise InstallError(
                f"{folder.name} was not updated: its Git settings hold {odd[0]}, which Paddock does not allow. Update "
                "it with git pull in its folder."
            )
    _git(source, "-C", str(folder), "pull", "--quiet", "--ff-only", "--no-recurse-submodules", "--", source)


def fetch_submodules(source: str, folder: Path) -> list[Path]:
    """Fetch the submodules of the repository in `folder`, and nested ones. Return their folders.

    Their addresses must be of the same kinds as `source`. Raises InstallError.
    """
    return _fetch_submodules(source, folder, _MOST_DEPTH)


def _fetch_submodules(source: str, folder: Path, depth: int) -> list[Path]:
    addresses = declared(folder)
    listed = _git(source, "-C", str(folder), "ls-files", "--stage", "-z").split("\0") if addresses else []
    # A declared submodule may no longer be part of the repository.
    links = {entry.partition("\t")[2] for entry in listed if entry.startswith("160000 ")}
    wanted = [path for path in addresses if path in links]
    for path in wanted:
        address = addresses[path]
        if not (_ADDRESS.fullmatch(address) or _RELATIVE.fullmatch(address)):
            raise InstallError(
                f"{without_secrets(source)} was not installed: the address of its submodule {path} is "
                f"{without_secrets(address)!r}, which cannot be cloned from here. Clone all of it with git clone "
                "--recurse-submodules, then install that folder."
            )
    if not wanted or not depth:
        return []
    update = ["submodule", "--quiet", "update", "--init", "--checkout", "--depth", "1", "--", *wanted]
    _git(source, "--literal-pathspecs", "-C", str(folder), *update)
    folders = [safe_join(folder, path) for path in wanted]
    return [*folders, *(inner for path in folders for inner in _fetch_submodules(source, path, depth - 1))]


def _git(source: str, *command: str) -> str:
    """Run Git and return its output. `source`: the address, for errors. Raises InstallError."""
    options = [part for value in _SETTINGS for part in ("-c", value)]
    # A remote repository must not refer to files on this machine.
    allowed = "https:ssh:file" if source.startswith("file:") else "https:ssh"
    own = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
    shown = without_secrets(source)
    try:
        answer = subprocess.run(
            ["git", *options, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            env={**git_environment(), **own, "GIT_ALLOW_PROTOCOL": allowed},
        )
    except FileNotFoundError:
        raise InstallError(
            "Git is not installed, so nothing can be cloned. Install Git, or install the extension from a folder."
        ) from None
    except subprocess.TimeoutExpired:
        raise InstallError(f"{shown} was not fetched within {_SECONDS // 60} minutes. Try again later.") from None
    if answer.returncode != 0:
        part = " with all its submodules" if "submodule" in command else ""
        done = "updated from there" if "pull" in command else "cloned"
        detail = without_secrets(answer.stderr)[-4000:]
        raise InstallError(f"{shown} could not be {done}{part}. Check the address.", detail=detail)
    return answer.stdout
