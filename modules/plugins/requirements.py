"""Packages that an extension asks for: checked against what is there, and installed into a folder of its own only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from modules.paths import write_atomically
from modules.plugins.heavy import cost
from modules.protocol.errors import PaddockError
from modules.runtime.pip_config import package_sources, read_pip_config

_SECONDS = 3600


class RequirementsMissing(PaddockError):
    """Packages are missing that an extension asks for."""

    code = "requirements"


@dataclass(frozen=True)
class Need:
    """One requirement. `state`: "there", "missing", "conflict" (the host has another version, which stays) or
    "unclear". `have`: the version that is there."""

    text: str
    name: str
    state: str
    have: str = ""

    @property
    def sentence(self) -> str:
        """What is the matter with it; "" if nothing is."""
        if self.state == "missing":
            return " ".join(filter(None, (f"It needs {self.text}, which is not installed.", cost(self.name))))
        if self.state == "conflict":
            return (
                f"It asks for {self.text}, but Paddock itself runs with {self.name} {self.have}, which stays. It may "
                "work all the same, or fail when it is switched on."
            )
        return f"Its requirement {self.text!r} cannot be read." if self.state == "unclear" else ""


def check(texts: Sequence[str], own: Path) -> tuple[Need, ...]:
    """Each requirement that counts on this machine. `own`: the extension's folder of packages."""
    if not texts:
        return ()
    installed = _versions(own)
    needs = []
    for text in texts:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            needs.append(Need(text, text, "unclear"))
            continue
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        name = canonicalize_name(wanted.name)
        host = _host_version(name)
        have = host or installed.get(name, "")
        if not have:
            needs.append(Need(text, name, "missing"))
        elif wanted.specifier.contains(have, prereleases=True):
            needs.append(Need(text, name, "there", have))
        else:
            needs.append(Need(text, name, "conflict" if host else "missing", have))
    return tuple(needs)


def install(texts: Sequence[str], own: Path, report: Callable[[str], None] = lambda text: None) -> None:
    """Install what `texts` ask for into `own`, with the host's versions where both have a package. Raises PaddockError
    with what contradicts what. The host's packages are not touched."""
    from uv import find_uv_bin

    sources = package_sources(read_pip_config())
    own.mkdir(parents=True, exist_ok=True)
    constraints = own.with_name(f".{own.name}.constraints")
    pins = sorted(f"{entry.metadata['Name']}=={entry.version}" for entry in metadata.distributions())
    write_atomically(constraints, "\n".join(pins) + "\n")
    wanted = [need.text for need in check(texts, own) if need.state in ("missing", "conflict")]
    command = [find_uv_bin(), "pip", "install", "--target", str(own), "--constraint", str(constraints)]
    report(f"Installing {', '.join(wanted)}")
    try:
        answer = subprocess.run(
            [*command, *sources.arguments, "--", *wanted],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env=_environment(sources.environment),
        )
    finally:
        constraints.unlink(missing_ok=True)
    if answer.returncode != 0:
        words = answer.stderr.strip()
        why = "no set of versions fits" if "No solution found" in words else "uv could not install them"
        raise PaddockError(
            f"The packages {', '.join(wanted)} were not installed: {why} beside the versions that Paddock itself runs "
            "with, which stay as they are. The details say what contradicts what.",
            detail=words[-4000:],
        )


def _environment(extra: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return {**kept, "UV_PYTHON_DOWNLOADS": "never", "UV_PYTHON": sys.executable, **extra}


def _host_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _versions(folder: Path) -> dict[str, str]:
    """Canonical name -> version of what lies in an extension's folder of packages."""
    if not folder.is_dir():
        return {}
    found = metadata.distributions(path=[str(folder)])
    return {canonicalize_name(entry.metadata["Name"]): entry.version for entry in found}
