"""Environments with programs from PyPI and npm that speak to the API, unmodified, one each."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
_FOLDER = ROOT / ".test-models" / "clients"
# `python3 -m tests --all` sets it: the environments take minutes to install.
VARIABLE = "PADDOCK_TEST_CLIENTS"
_READY = "ready"
_SECONDS = 580
# Debian 12 has 18.
OLDEST_NODE = 18


def not_asked() -> str:
    """Return a sentence that says why the clients are not tested, or ""."""
    return "" if os.environ.get(VARIABLE) else f"Clients take minutes to install. Set {VARIABLE}=1 to test them."


def client_python(name: str, packages: Sequence[str]) -> Path:
    """Return the interpreter of an environment with these packages. It is made at the first use."""
    folder = _folder(name, packages)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (folder / _READY).exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "uv", "venv", "-q", "--python", sys.executable, str(folder)])
        _run([sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(python), *packages])
        (folder / _READY).touch()
    return python


def client_node(name: str, packages: Sequence[str]) -> Path:
    """Return a folder with these npm packages. It is made at the first use."""
    folder = _folder(name, packages)
    if not (folder / _READY).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
        _run(["npm", "install", "--silent", "--no-audit", "--no-fund", *packages], folder)
        (folder / _READY).touch()
    return folder


def no_node() -> str:
    """Return a sentence that says why no npm package can be tested here, or ""."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return "Node.js and npm are not installed (apt-get install nodejs npm)."
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major = int(version.lstrip("v").partition(".")[0])
    return (
        "" if major >= OLDEST_NODE else f"Node.js is {version.strip()}, older than {OLDEST_NODE}. Install a newer one."
    )


def run_client(command: Sequence[str | Path], script: str, *arguments: str, folder: Path | None = None) -> str:
    """Run a script that is read from stdin. Return what it printed; its errors fail the test."""
    done = subprocess.run(
        [*map(str, command), *arguments],
        input=script,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        cwd=folder,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "1"},
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"[-8000:]
    return done.stdout


def _folder(name: str, packages: Sequence[str]) -> Path:
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    return _FOLDER / f"{name}-{digest}"


def _run(command: Sequence[str], folder: Path | None = None) -> None:
    subprocess.run(command, cwd=folder, timeout=_SECONDS, check=True)
