"""Checks that the interpreter of a virtual environment is still the one that it was created with.

Standard library only: the host's own environment is checked before its packages are installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

_SECONDS = 60.0
# Variables of Python that may stay. The others lead Python to other packages or change how code runs (PYTHONPATH,
# PYTHONHOME, PYTHONWARNINGS=error, PYTHONOPTIMIZE, PYTHONSAFEPATH, ...).
_HARMLESS = {
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONFAULTHANDLER",
    "PYTHONHASHSEED",
    "PYTHONIOENCODING",
    "PYTHONNOUSERSITE",
    "PYTHONPYCACHEPREFIX",
    "PYTHONUNBUFFERED",
    "PYTHONUTF8",
}


def python_in(folder: Path) -> Path:
    """Return the path of the interpreter of the environment in `folder`."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def foreign_variables(environment: Mapping[str, str]) -> set[str]:
    """Return the names of variables that lead Python to other packages or change how code runs."""
    python = {name for name in environment if name.startswith("PYTHON") and name not in _HARMLESS}
    return python | ({"__PYVENV_LAUNCHER__"} & set(environment))


def usable(folder: Path, known: str) -> str:
    """Return a signature of the environment's interpreter, or "" if it is gone or has another version.

    `known`: the signature of an earlier call. If it has not changed, the interpreter is not run again.
    """
    now = _signature(folder)
    return now if now and (now == known or _runs(folder)) else ""


def _signature(folder: Path) -> str:
    """Return a signature of the interpreter's files, or "" if they are gone. The interpreter is not run."""
    try:
        real = python_in(folder).resolve(strict=True)
        facts = real.stat()
        # On Windows the file in the environment only launches the one in `home`.
        base = (Path(_read_config(folder)["home"]) / real.name).stat() if sys.platform == "win32" else facts
        config = zlib.crc32((folder / "pyvenv.cfg").read_bytes())
    except (OSError, RuntimeError, KeyError):
        return ""
    return f"{real} {facts.st_size} {facts.st_mtime_ns} {base.st_mtime_ns} {config}"


def _runs(folder: Path) -> bool:
    """Return True if the interpreter runs and has the version that the environment was created with."""
    made = re.match(r"\d+\.\d+", _read_config(folder).get("version", ""))
    try:
        answer = subprocess.run(
            [str(python_in(folder)), "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.prefix)"],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
        version, _, prefix = answer.stdout.strip().partition(" ")
        return answer.returncode == 0 and made is not None and version == made[0] and Path(prefix).samefile(folder)
    except (OSError, subprocess.SubprocessError):
        return False


def _read_config(folder: Path) -> dict[str, str]:
    """Return the values of pyvenv.cfg. `version` is also read from `version_info`, which virtualenv and uv write."""
    try:
        lines = (folder / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    values = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
    return {"version": values.get("version_info", ""), **values}
