"""The interpreter of a virtual environment: whether it is still the one that the environment was made with.

Standard library only: the host's own environment is checked before anything is installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

_SECONDS = 60.0
# What may stay of the variables that Python reads. The others lead one Python to another's packages or change what code
# means (PYTHONPATH, PYTHONHOME, PYTHONWARNINGS=error, PYTHONOPTIMIZE, PYTHONSAFEPATH, ...).
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
    """The interpreter of the environment in `folder`."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def foreign_variables(environment: Mapping[str, str]) -> set[str]:
    """Names of variables that lead a Python to what is not its own."""
    python = {name for name in environment if name.startswith("PYTHON") and name not in _HARMLESS}
    return python | ({"__PYVENV_LAUNCHER__"} & set(environment))


def usable(folder: Path, known: str) -> str:
    """Return a signature of the environment's interpreter, or "" where it is gone or is another version now.

    `known`: the signature of an earlier call, which is believed. Only another one costs a process.
    """
    now = _signature(folder)
    return now if now and (now == known or _runs(folder)) else ""


def _signature(folder: Path) -> str:
    """What tells one interpreter from another without running it; "" where it is gone."""
    try:
        real = python_in(folder).resolve(strict=True)
        facts = real.stat()
        # On Windows the file in the environment only starts the one in `home`.
        base = (Path(_made_with(folder)["home"]) / real.name).stat() if sys.platform == "win32" else facts
        config = zlib.crc32((folder / "pyvenv.cfg").read_bytes())
    except (OSError, RuntimeError, KeyError):
        return ""
    return f"{real} {facts.st_size} {facts.st_mtime_ns} {base.st_mtime_ns} {config}"


def _runs(folder: Path) -> bool:
    """Whether the interpreter runs, as the version that the environment was made with."""
    made = re.match(r"\d+\.\d+", _made_with(folder).get("version", ""))
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


def _made_with(folder: Path) -> dict[str, str]:
    """pyvenv.cfg; `version` under this name, whoever wrote it."""
    try:
        lines = (folder / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    values = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
    return {"version": values.get("version_info", ""), **values}
