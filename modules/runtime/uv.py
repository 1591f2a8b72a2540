"""Runs uv, which builds the loaders' environments, and says in plain words why it failed."""

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
    """Owns the processes that an install runs: uv, each with the compilers that it starts, and the engine's probe."""

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
        held: Sequence[int] = (),
    ) -> None:
        """Run uv for the loader `spec`; blocking. `on_line` gets what it says. Raises EnvironmentBroken.

        `held`: the files of locks, which hold until uv and its compilers have ended, even if Paddock is killed.
        """
        environment = {**install_environment(), "UV_PYTHON_DOWNLOADS": "never", **sources.environment}
        last: deque[str] = deque(maxlen=60)
        with self._owned([_binary(spec), *arguments], environment, spec, subprocess.STDOUT, held) as process:
            assert process.stdout is not None
            for line in process.stdout:
                last.append(line.rstrip())
                on_line(line.rstrip("\n"))
            status = process.wait()
        if self.closed:
            raise EnvironmentBroken(ended(spec))
        if status != 0:
            raise EnvironmentBroken(_why(spec, "\n".join(last)), detail="\n".join(last))

    def probe(self, python: Path, spec: LoaderSpec, seconds: float) -> subprocess.CompletedProcess[str]:
        """Import the engine with its interpreter. Raises TimeoutExpired, and EnvironmentBroken where Paddock ends."""
        command = [str(python), "-c", spec.probe]
        with self._owned(command, worker_environment(), spec, subprocess.PIPE, ()) as process:
            said, faults = process.communicate(timeout=seconds)
        if self.closed:
            raise EnvironmentBroken(ended(spec))
        return subprocess.CompletedProcess(command, process.returncode, said, faults)

    @contextmanager
    def _owned(
        self, command: list[str], environment: dict[str, str], spec: LoaderSpec, stderr: int, held: Sequence[int]
    ) -> Iterator[subprocess.Popen[str]]:
        """A process that ends with the block, or with `close`."""
        with self._lock:
            if self.closed:
                raise EnvironmentBroken(ended(spec))
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                errors="replace",
                pass_fds=tuple(held),
                # A session of its own, so that its compilers can be ended with it.
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
        """Kill what runs, and run nothing any more."""
        with self._lock:
            self.closed = True
            for process in self._running:
                _kill(process)


def _binary(spec: LoaderSpec) -> str:
    """The uv that was installed with Paddock, else one of the user's. Raises EnvironmentBroken.

    uv's own package finds it through sysconfig; beside the interpreter it is found without that.
    """
    beside = Path(sys.executable).parent
    found = shutil.which("uv", path=os.pathsep.join([str(beside), os.environ.get("PATH", os.defpath)]))
    if found is None:
        raise EnvironmentBroken(
            f"{spec.title} cannot be installed, as uv, the installer, is missing. Start Paddock without --no-venv, or "
            "install it: python3 -m pip install uv"
        )
    return found


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill the process and what it started, unless it was waited for: its number may be another's then."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
        return
    kill_process_tree(process.pid)


def ended(spec: LoaderSpec) -> str:
    """The sentence for an install that ended with Paddock."""
    return f"{spec.title} was not installed, as Paddock ended meanwhile. Start it again, and load the model again."


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
    return f"{spec.title} could not be installed. The details say why; mend that, {again}"
