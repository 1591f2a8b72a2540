"""Caches the bytecode of the modules that a worker imported, which its sandbox does not let it write.

Compiling a module does not run its code."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path

from filelock import FileLock, Timeout

from modules.files.data_files import DataFileError, read_bytes
from modules.system.child_environment import worker_environment

UNCOMPILED = "uncompiled.txt"
_LOCK = "bytecode.lock"
_SECONDS = 300.0
# Ends when the host does: its standard input closes then.
_COMPILE = """
import json, os, py_compile, sys, threading
paths = json.loads(sys.stdin.buffer.readline())
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
if hasattr(os, "nice"):
    os.nice(19)
for path in paths:
    try:
        py_compile.compile(path, doraise=True)
    except (OSError, ValueError, py_compile.PyCompileError):
        continue
"""


def compile_imported(python: Path, temporary: str) -> None:
    """Compile the modules that a worker listed in its `temporary` folder, if its own environment has them; blocking.

    Return at once while modules of this environment are being compiled: a model that is loaded again and again would
    otherwise start the same work each time.
    """
    try:
        named = read_bytes(Path(temporary, UNCOMPILED)).decode("utf-8", "replace").splitlines()
    except (OSError, DataFileError):
        return
    environment = python.parent.parent.resolve()
    if not (paths := [path for path in named if _is_in(path, environment)]):
        return
    with contextlib.suppress(Timeout, OSError), FileLock(environment / _LOCK, timeout=0):
        _compile(python, paths)


def _compile(python: Path, paths: list[str]) -> None:
    with subprocess.Popen(
        [str(python), "-I", "-c", _COMPILE],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=worker_environment(),
    ) as process:
        assert process.stdin is not None
        try:
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps(paths).encode() + b"\n")
                process.stdin.flush()
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _is_in(path: str, environment: Path) -> bool:
    try:
        return path.endswith(".py") and Path(path).resolve().is_relative_to(environment)
    except (OSError, ValueError):
        return False
