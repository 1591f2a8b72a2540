"""Runs uv, which builds the loaders' environments, and explains its failures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from modules.protocol.errors import EnvironmentBroken
from modules.protocol.loader_spec import LoaderSpec
from modules.runtime.process_tree import kill_process_tree
from modules.system.child_environment import install_environment, worker_environment
from modules.system.pip_config import PackageSources
from modules.system.program_name import program_name


class Uv:
    """Owns the processes of installs: uv, the compilers that it starts, and the engine's probe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self.closed = False

    def run(
        self,
        arguments: list[str],
        sources: PackageSources,
        spec: LoaderSpec,
        on_line: Callable[[str], None],
        lock_files: Sequence[int] = (),
    ) -> None:
        """Run uv for the loader `spec`; blocking. `on_line` gets each line of its output. Raise EnvironmentBroken.

        `lock_files`: file descriptors of locks. They stay locked until uv and its compilers have ended, even if
        Paddock is killed.
        """
        environment = {**install_environment(), "UV_PYTHON_DOWNLOADS": "never", **sources.environment}
        last: deque[str] = deque(maxlen=60)
        with self._owned([_binary(spec), *arguments], environment, spec, subprocess.STDOUT, lock_files) as process:
            assert process.stdout is not None
            for line in process.stdout:
                last.append(line.rstrip())
                on_line(line.rstrip("\n"))
            status = process.wait()
        if self.closed:
            raise EnvironmentBroken(shutdown_message(spec))
        if status != 0:
            raise EnvironmentBroken(_why(spec, "\n".join(last)), detail="\n".join(last))

    def probe(self, python: Path, spec: LoaderSpec, code: str, seconds: float) -> subprocess.CompletedProcess[str]:
        """Run `code` with an interpreter. Raise TimeoutExpired, or EnvironmentBroken if Paddock shuts down."""
        command = [str(python), "-c", code]
        with self._owned(command, worker_environment(), spec, subprocess.PIPE, ()) as process:
            output, errors = process.communicate(timeout=seconds)
        if self.closed:
            raise EnvironmentBroken(shutdown_message(spec))
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    @contextmanager
    def _owned(
        self, command: list[str], environment: dict[str, str], spec: LoaderSpec, stderr: int, lock_files: Sequence[int]
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a process that is killed at the end of the block, or by `close`."""
        with self._lock:
            if self.closed:
                raise EnvironmentBroken(shutdown_message(spec))
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                errors="replace",
                pass_fds=tuple(lock_files),
                # A new session, so that its compilers can be killed with it.
                start_new_session=sys.platform != "win32",
            )
            self._running.add(process)
        try:
            yield process
        finally:
            with self._lock:
                self._running.discard(process)
                _kill(process)
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def close(self) -> None:
        """Kill running processes, and refuse to start others."""
        with self._lock:
            self.closed = True
            for process in self._running:
                _kill(process)


def _binary(spec: LoaderSpec) -> str:
    """Return the path of the uv installed with Paddock, or of the user's. Raise EnvironmentBroken if there is none.

    uv's Python package uses sysconfig to find it. Looking next to the interpreter avoids that.
    """
    bin_folder = Path(sys.executable).parent
    found = shutil.which("uv", path=os.pathsep.join([str(bin_folder), os.environ.get("PATH", os.defpath)]))
    if found is None:
        raise EnvironmentBroken(
            f"{spec.title} cannot be installed because the installer, uv, is missing. Start Paddock without "
            "--no-venv, or install uv: python3 -m pip install uv"
        )
    return found


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill the process and what it started, unless it has ended: its number may belong to another process then."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
        return
    kill_process_tree(process.pid)


def shutdown_message(spec: LoaderSpec) -> str:
    """Return the message for an install that ended because Paddock shut down."""
    return f"{spec.title} was not installed because Paddock shut down. Start it again, and load the model again."


def _why(spec: LoaderSpec, output: str) -> str:
    again = f"then run: {program_name()} install {spec.name}"
    lower = output.lower()
    if "no space left" in lower or "disk quota" in lower:
        return f"The disk is full, so {spec.title} could not be installed. Free some space, {again}"
    if "no solution found" in lower or "no matching distribution" in lower or "has no wheels" in lower:
        return (
            f"{spec.title} has no package for this Python ({sys.version_info.major}.{sys.version_info.minor}) on this "
            f"machine. Try another Python version or another loader; the details name the package."
        )
    if any(word in lower for word in ("dns", "failed to fetch", "connection", "timed out", "network", "resolving")):
        return (
            f"{spec.title} could not be downloaded: the package index did not answer. Check the network, or pip's "
            f"index and proxy settings, {again}"
        )
    if "failed to build" in lower or "build backend" in lower:
        return f"{spec.title} could not be compiled. Install a C++ compiler and CMake, {again}"
    return f"{spec.title} could not be installed. Fix the cause named in the details, {again}"
