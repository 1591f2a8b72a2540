"""subprocess, in a check, for the code that is checked: a program that is not installed runs, and says nothing."""

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
# A command that does nothing, whatever is given to it.
_NOTHING = [sys.executable, "-S", "-c", ""]
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


class Programs(ModuleType):
    """`found(name)` is told of each program that is taken as present and is not installed."""

    def __init__(self, found: Callable[[str], None]) -> None:
        super().__init__("subprocess")
        there = _There(found)

        class Popen(subprocess.Popen[Any]):
            """As subprocess.Popen."""

            def __init__(self, args: Any, *rest: Any, **named: Any) -> None:
                args, named = there.instead(args, named)
                super().__init__(args, *rest, **named)

        self.Popen = Popen
        for name in _STARTERS:
            setattr(self, name, there.started_by(getattr(subprocess, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)


class _There:
    """Makes programs that are not installed ones that do nothing."""

    def __init__(self, found: Callable[[str], None]) -> None:
        self._found = found

    def started_by(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function of subprocess."""

        def start(args: Any, *rest: Any, **named: Any) -> Any:
            args, named = self.instead(args, named)
            return function(args, *rest, **named)

        return start

    def instead(self, args: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """(the command, the named arguments) to start."""
        program = _program(args, bool(named.get("shell")))
        if not program or _is_there(program, bool(named.get("shell"))):
            return args, named
        self._found(program)
        return _NOTHING, {**named, "shell": False, "executable": None}


def _program(args: Any, shell: bool) -> str:
    """The name that a command begins with; "" for a path, and where it cannot be told."""
    if isinstance(args, (list, tuple)):
        args, shell = (args[0] if args else ""), False
    if not isinstance(args, (str, os.PathLike)):
        return ""
    word = os.fspath(args)
    word = (word.split() or [""])[0] if shell else word
    return word if isinstance(word, str) and _WORD.fullmatch(word) else ""


def _is_there(program: str, shell: bool) -> bool:
    if shutil.which(program):
        return True
    # A shell has commands of its own; those of Windows are not asked for.
    ask = ["/bin/sh", "-c", 'command -v "$0"', program]
    return shell and (os.name == "nt" or subprocess.run(ask, capture_output=True, check=False).returncode == 0)
