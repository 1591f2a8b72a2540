"""Runs Git for extensions that come from an address: it asks nothing, and runs nothing of what comes."""

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
# A submodule's, as seen from the address of the whole.
_RELATIVE = re.compile(r"(?:\.\.?/)+[A-Za-z0-9_~][A-Za-z0-9._~+-]*(?:/[A-Za-z0-9_~][A-Za-z0-9._~+-]*)*")
# Submodules of submodules.
_MOST_DEPTH = 4
_SETTINGS = ("protocol.ext.allow=never", "core.symlinks=false", "core.hooksPath=/dev/null", "core.fsmonitor=false")
# What Git itself writes into a clone's settings; others can name programs that it runs.
_PLAIN = re.compile(
    r"core\.(?:repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|worktree)"
    r"|remote\..*\.(?:url|fetch)|branch\..*\.(?:remote|merge)|submodule\.(?:active|.*\.(?:url|active))"
)
_SECRET = re.compile(r"(?<=://)[^\s'\"]*@")


class InstallError(PaddockError):
    """An extension that was not brought in, or not updated; what there was is as it was."""

    code = "extension"


def without_secrets(text: str) -> str:
    """A text whose addresses lack the name and the password that they may hold."""
    return _SECRET.sub("", text)


def check_address(source: str) -> None:
    """Raise InstallError for what is no address that can be cloned."""
    if not _ADDRESS.fullmatch(source) or "/../" in source:
        raise InstallError(
            f"{without_secrets(source)!r} is not an address that can be cloned. Use one that begins with https:// or "
            "ssh:// and holds letters, digits and ._~@:/%+- alone."
        )


def clone(source: str, folder: Path) -> None:
    """Clone the newest commit, without its submodules. Raises InstallError."""
    check_address(source)
    _git(source, "clone", "--quiet", "--depth", "1", "--no-recurse-submodules", "--", source, str(folder))


def pull(source: str, folder: Path) -> None:
    """Bring a clone up to what is at `source` now, without its submodules. Raises InstallError, also for a clone whose
    settings could make Git run something."""
    check_address(source)
    for path in (folder / ".git" / "config", *(folder / ".git" / "modules").rglob("config")):
        listed = _git(source, "config", "--file", str(path), "--no-includes", "--list", "--name-only")
        if odd := [name for name in listed.split() if not _PLAIN.fullmatch(name)]:
            raise InstallError(
                f"{folder.name} was not updated: its Git settings hold {odd[0]}, which Paddock does not follow. Update "
                "it with git pull in its folder."
            )
    _git(source, "-C", str(folder), "pull", "--quiet", "--ff-only", "--no-recurse-submodules", "--", source)


def fetch_submodules(source: str, folder: Path) -> list[Path]:
    """Fetch the submodules of the repository in `folder`, and theirs in turn, as their repository names them: from
    addresses of the same kinds as `source`. Returns their folders. Raises InstallError."""
    return _fetch_submodules(source, folder, _MOST_DEPTH)


def _fetch_submodules(source: str, folder: Path, depth: int) -> list[Path]:
    addresses = declared(folder)
    listed = _git(source, "-C", str(folder), "ls-files", "--stage", "-z").split("\0") if addresses else []
    # What is declared may be no part of the repository any more.
    links = {entry.partition("\t")[2] for entry in listed if entry.startswith("160000 ")}
    wanted = [path for path in addresses if path in links]
    for path in wanted:
        address = addresses[path]
        if not (_ADDRESS.fullmatch(address) or _RELATIVE.fullmatch(address)):
            raise InstallError(
                f"{without_secrets(source)} was not installed: its part {path} lies at {without_secrets(address)!r}, "
                "which is not an address that can be cloned from here. Clone all of it with git clone "
                "--recurse-submodules, and give that folder."
            )
    if not wanted or not depth:
        return []
    update = ["submodule", "--quiet", "update", "--init", "--checkout", "--depth", "1", "--", *wanted]
    _git(source, "--literal-pathspecs", "-C", str(folder), *update)
    folders = [safe_join(folder, path) for path in wanted]
    return [*folders, *(inner for path in folders for inner in _fetch_submodules(source, path, depth - 1))]


def _git(source: str, *command: str) -> str:
    """What Git answers; `source`: where what it does comes from. Raises InstallError."""
    options = [part for value in _SETTINGS for part in ("-c", value)]
    # What comes from elsewhere may name nothing on this machine.
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
        raise InstallError("Git is not installed, so nothing can be cloned. Install it, or give a folder.") from None
    except subprocess.TimeoutExpired:
        raise InstallError(f"{shown} did not arrive within {_SECONDS // 60} minutes. Try again later.") from None
    if answer.returncode != 0:
        part = " with all its submodules" if "submodule" in command else ""
        done = "updated from there" if "pull" in command else "cloned"
        detail = without_secrets(answer.stderr)[-4000:]
        raise InstallError(f"{shown} could not be {done}{part}. Check the address.", detail=detail)
    return answer.stdout
