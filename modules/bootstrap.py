"""Before anything else is imported: `.venv`, the host's packages, a fresh start inside. Standard library only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from modules.runtime.pip_config import package_sources, read_pip_config

OLDEST = (3, 10)
_MARKER = "paddock-host.txt"


def ensure(root: Path, argv: list[str], requirements: tuple[str, ...] = ("host.txt",)) -> None:
    """Return at once inside a complete `.venv` (or with --no-venv); else build it and start `argv` anew in there."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"Paddock needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {sys.version.split()[0]}. Install one."
        )
    if "--no-venv" in argv:
        return
    folder = root / ".venv"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pins = [root / "requirements" / name for name in requirements]
    wanted = {_digest(path) for path in pins}
    if not wanted <= _installed(folder):
        try:
            _build(folder, python, pins)
        except KeyboardInterrupt:
            sys.exit("\nStopped before Paddock was set up. The next start goes on from here.")
        (folder / _MARKER).write_text("\n".join(sorted(wanted | _installed(folder))))
    if Path(sys.prefix).resolve() != folder.resolve():
        _start_again(python, argv)


def _digest(path: Path) -> str:
    return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def _installed(folder: Path) -> set[str]:
    """Digests of the requirement files that were installed whole."""
    try:
        return set((folder / _MARKER).read_text().splitlines())
    except OSError:
        return set()


def _build(folder: Path, python: Path, pins: list[Path]) -> None:
    begin = time.monotonic()
    if not _works(python):
        shutil.rmtree(folder, ignore_errors=True)
        _say("Making a Python environment in .venv ...")
        _run(
            [sys.executable, "-m", "venv", str(folder)],
            "Python could not make a virtual environment. On Debian and Ubuntu: apt install python3-venv",
        )
    sources = package_sources(read_pip_config(str(python)))
    uv = next(line for path in pins for line in path.read_text().splitlines() if line.startswith("uv=="))
    _say("Fetching the installer (uv) ...")
    advice = "The packages could not be fetched. Check the network, or pip's index and proxy settings, and start again."
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", uv.split()[0]], advice)
    _say("Installing Paddock's own packages ...")
    named = [part for path in pins for part in ("-r", str(path))]
    _run(
        [str(python), "-m", "uv", "pip", "install", "--python", str(python), *named, *sources.arguments],
        advice,
        {**sources.environment, "UV_PYTHON_DOWNLOADS": "never"},
    )
    _say(f"Set up in {time.monotonic() - begin:.0f} s.")


def _works(python: Path) -> bool:
    """Whether the environment's interpreter runs and has pip: one half made by a killed start does not."""
    try:
        return subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(command: list[str], advice: str, environment: dict[str, str] | None = None) -> None:
    with subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            # The list of what was installed, fifty lines of names, tells a person nothing.
            if not line.startswith(" + "):
                _say(f"  {line.rstrip()}")
    if process.returncode != 0:
        sys.exit(f"\n{advice}\nNothing else was changed.")


def _start_again(python: Path, argv: list[str]) -> None:
    if os.name == "nt":
        # Windows has no exec: the shell would take the prompt back while the child still runs.
        sys.exit(subprocess.run([str(python), *argv], check=False).returncode)
    os.execv(python, [str(python), *argv])


def _say(text: str) -> None:
    print(text, flush=True)
