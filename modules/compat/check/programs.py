"""A stand-in for subprocess during a check: programs that are not installed seem to run without output."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

_STARTERS = ("run", "call", "check_call", "check_output")
# A command that does nothing.
_NOTHING = [sys.executable, "-S", "-c", ""]
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


class Programs(ModuleType):
    """Replaces the module. Calls `report(name)` for each program that is not installed."""

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__("subprocess")
        programs = _MissingPrograms(report)

        class Popen(subprocess.Popen[Any]):
            """Behaves as subprocess.Popen."""

            def __init__(self, args: Any, *rest: Any, **named: Any) -> None:
                args, named = programs.replace(args, named)
                super().__init__(args, *rest, **named)

        self.Popen = Popen
        for name in _STARTERS:
            setattr(self, name, programs.wrap(getattr(subprocess, name)))

    def __getattr__(self, name: str) -> object:
        return getattr(subprocess, name)


class _MissingPrograms:
    """Replaces programs that are not installed with one that does nothing."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report

    def wrap(self, function: Callable[..., object]) -> Callable[..., object]:
        """Return a function of subprocess that replaces missing programs."""

        def start(args: object, *rest: object, **named: object) -> object:
            args, named = self.replace(args, named)
            return function(args, *rest, **named)

        return start

    def replace(self, args: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the command and the keyword arguments to start."""
        program = _program(args, bool(named.get("shell")))
        if not program or _is_installed(program, bool(named.get("shell"))):
            return args, named
        self._report(program)
        return _NOTHING, {**named, "shell": False, "executable": None}


def _program(args: object, shell: bool) -> str:
    """Return the program name at the start of a command; "" for a path, or if it is unknown."""
    if isinstance(args, (list, tuple)):
        args, shell = (args[0] if args else ""), False
    if not isinstance(args, (str, os.PathLike)):
        return ""
    word = os.fspath(args)
    word = (word.split() or [""])[0] if shell else word
    return word if isinstance(word, str) and _WORD.fullmatch(word) else ""


def _is_installed(program: str, shell: bool) -> bool:
    if shutil.which(program):
        return True
    # The shell has built-in commands. On Windows all names count as commands.
    ask = ["/bin/sh", "-c", 'command -v "$0"', program]
    return shell and (os.name == "nt" or subprocess.run(ask, capture_output=True, check=False).returncode == 0)
