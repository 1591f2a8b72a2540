"""Checks the packages that an extension needs, and installs them into the extension's own folder only."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from modules.files.paths import write_atomically
from modules.plugins.package_sizes import cost
from modules.plugins.requirement_text import Refused, in_plain, read
from modules.protocol.errors import PaddockError
from modules.system.child_environment import install_environment
from modules.system.pip_config import package_sources, read_pip_config

_SECONDS = 3600


class RequirementsMissing(PaddockError):
    """Packages that an extension needs are not installed."""

    code = "requirements"


class NotBuilt(PaddockError):
    """Packages exist as source code only. Building them runs that code, which needs separate consent."""

    code = "build"


@dataclass(frozen=True)
class Need:
    """One requirement.

    `state`: "there" (installed), "missing", "conflict" (the host has another version, which stays), "refused" (for the
    reason `why`) or "unclear". `have`: the installed version.
    """

    text: str
    name: str
    state: str
    have: str = ""
    why: str = ""

    @property
    def sentence(self) -> str:
        """A sentence about a problem with it; "" if there is none."""
        if self.state == "missing":
            return " ".join(filter(None, (f"It needs {self.text}, which is not installed.", cost(self.name))))
        if self.state == "conflict":
            return (
                f"It needs {self.text}, but Paddock itself uses {self.name} {self.have}, which is not changed. The "
                "extension may work anyway, or fail when it is switched on."
            )
        if self.state == "refused":
            return (
                f"Its requirement {self.text!r} is not installed: {self.why}. Paddock installs packages by name and "
                "version, and only from your package index. Ask its author for such a requirement."
            )
        return f"Its requirement {self.text!r} cannot be read." if self.state == "unclear" else ""


def check(texts: Sequence[str], own: Path) -> tuple[Need, ...]:
    """Return each requirement that applies to this machine. `own`: the extension's folder of packages."""
    if not texts:
        return ()
    installed = _versions(own)
    needs = []
    for text in texts:
        try:
            wanted = read(text)
        except Refused as error:
            name = canonicalize_name(error.name)
            have = name and (_host_version(name) or installed.get(name, ""))
            needs.append(Need(text, name or text, "there" if have else "refused", have, str(error)))
            continue
        except InvalidRequirement:
            needs.append(Need(text, text, "unclear"))
            continue
        if _applies_here(wanted):
            needs.append(_need(wanted, installed))
    return tuple(needs)


def _need(wanted: Requirement, installed: dict[str, str]) -> Need:
    name, text = canonicalize_name(wanted.name), in_plain(wanted)
    host = _host_version(name)
    have = host or installed.get(name, "")
    if not have:
        return Need(text, name, "missing")
    if wanted.specifier.contains(have, prereleases=True):
        return Need(text, name, "there", have)
    return Need(text, name, "conflict" if host else "missing", have)


def _applies_here(wanted: Requirement) -> bool:
    try:
        return wanted.marker is None or wanted.marker.evaluate()
    except UndefinedEnvironmentName:
        return False


def install(
    texts: Sequence[str], own: Path, *, build: bool = False, report: Callable[[str], None] = lambda text: None
) -> None:
    """Install the packages of the requirement lines `texts` into `own`.

    A package that the host has too gets the host's version. The host's packages are not changed. `build`: build
    packages without a wheel, which runs their code. Raises NotBuilt if such a package is needed and `build` is False,
    and PaddockError, whose detail names the conflicting requirements.
    """
    from uv import find_uv_bin

    wanted = [need.text for need in check(texts, own) if need.state in ("missing", "conflict")]
    if not wanted:
        return
    sources = package_sources(read_pip_config())
    own.mkdir(parents=True, exist_ok=True)
    # Run in an empty folder, so that a package name is never taken for a file.
    with tempfile.TemporaryDirectory(dir=own.parent, prefix=".install-") as place:
        constraints = Path(place).with_name(f"{Path(place).name}.constraints")
        pins = sorted(f"{entry.metadata['Name']}=={entry.version}" for entry in metadata.distributions())
        write_atomically(constraints, "\n".join(pins) + "\n")
        command = [find_uv_bin(), "pip", "install", "--target", str(own), "--constraint", str(constraints)]
        command += [] if build else ["--only-binary", ":all:"]
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
                cwd=place,
                env=_environment(sources.environment),
            )
        finally:
            constraints.unlink(missing_ok=True)
    if answer.returncode != 0:
        raise _failure(", ".join(wanted), answer.stderr.strip(), build)


def _failure(wanted: str, words: str, build: bool) -> PaddockError:
    if not build and ("building from source is disabled" in words or "no usable wheels" in words):
        return NotBuilt(
            f"The packages {wanted} were not installed: at least one of them has no wheel for this machine, and "
            "building it runs its code. To allow that, press Agree to build its packages on the Extensions tab, or use "
            "--build.",
            detail=words[-4000:],
        )
    why = "no versions fit" if "No solution found" in words else "uv could not install them"
    return PaddockError(
        f"The packages {wanted} were not installed: {why} together with the versions that Paddock itself uses, "
        "which are not changed. The details name the conflict.",
        detail=words[-4000:],
    )


def _environment(extra: dict[str, str]) -> dict[str, str]:
    return {**install_environment(), "UV_PYTHON_DOWNLOADS": "never", "UV_PYTHON": sys.executable, **extra}


def _host_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _versions(folder: Path) -> dict[str, str]:
    """Return the versions of the packages in an extension's folder by canonical name."""
    if not folder.is_dir():
        return {}
    found = metadata.distributions(path=[str(folder)])
    return {canonicalize_name(entry.metadata["Name"]): entry.version for entry in found}
