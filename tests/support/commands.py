"""Sub-commands of webui.py in this process: a new one would import all again, which takes longer than most commands."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

from modules.cli.parser import run


def run_command(root: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run `webui.py` with these arguments, as subprocess.run does. Only the start of the process is left out."""
    out, err, before = io.StringIO(), io.StringIO(), sys.stdin
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        sys.stdin = io.StringIO(stdin)
        try:
            status = run(root, list(arguments))
        finally:
            sys.stdin = before
    return subprocess.CompletedProcess(["webui.py", *arguments], status, out.getvalue(), err.getvalue())
