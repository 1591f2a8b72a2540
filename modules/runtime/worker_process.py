"""One worker process: starts it, writes commands, reads events, and ends it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from modules.protocol.codec import decode_event, encode
from modules.protocol.commands import Command, Unload
from modules.protocol.errors import PaddockError, ProtocolError
from modules.protocol.events import Event, Log
from modules.protocol.loader_spec import LoaderSpec
from modules.runtime.bytecode_cache import compile_imported
from modules.runtime.process_tree import kill_process_tree
from modules.runtime.sandbox_paths import in_memory_file, make_card_devices
from modules.runtime.worker_exit import WorkerExit, classify, out_of_memory_kills
from modules.system.child_environment import worker_environment
from modules.system.threads import explain_errors, host_thread

_LAST_LINES = 200
_LONGEST_LINE = 2000


class WorkerProcess:
    """Owns the process and the two threads that read its output.

    `on_event` and `on_exit` are called on the reading thread; `on_exit` exactly once, after the last event.
    """

    def __init__(
        self,
        spec: LoaderSpec,
        python: Path,
        root: Path,
        on_event: Callable[[Event], None],
        on_exit: Callable[[WorkerExit], None],
        environment: dict[str, str] | None = None,
    ) -> None:
        self.spec = spec
        self._on_event = on_event
        self._on_exit = on_exit
        self._stderr: deque[str] = deque(maxlen=_LAST_LINES)
        self._intended = False
        self._killed = ("", "")
        self._kernel_kills = out_of_memory_kills()
        self._write_lock = threading.Lock()
        self._gone = threading.Event()
        # The temporary folder is removed at the end, with anything a killed worker left there, such as layers on disk.
        with contextlib.ExitStack() as temporary:
            place = _temporary_folder(temporary)
            make_card_devices()
            with in_memory_file(environment or {}) as (variables, descriptors):
                self._process = subprocess.Popen(
                    [str(python), "-m", "modules.worker", spec.name],
                    cwd=root,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env={**clean_environment(python), **place, **variables},
                    pass_fds=descriptors,
                    # Ctrl+C in the terminal is for the host, which then shuts the worker down.
                    start_new_session=sys.platform != "win32",
                )
            self._temporary = temporary.pop_all()
        self._python, self._place = python, place.get("TMPDIR", "")
        reading = f"Reading the output of {spec.title}"
        self._error_thread = host_thread(f"{spec.name} stderr", self._read_errors, reading)
        self._event_thread = host_thread(f"{spec.name} events", self._read_events, reading, self._reading_failed)
        self._error_thread.start()
        self._event_thread.start()

    @property
    def pid(self) -> int:
        """The process number."""
        return self._process.pid

    @property
    def folder(self) -> Path:
        """The temporary folder that it may write. It is removed at the end."""
        return Path(self._place or tempfile.gettempdir())

    @property
    def stderr(self) -> tuple[str, ...]:
        """The last lines of its stderr, and of its log messages."""
        return tuple(self._stderr)

    def note(self, line: str) -> None:
        """Add a line to `stderr`."""
        self._stderr.append(line[:_LONGEST_LINE])

    def send(self, command: Command) -> None:
        """Write a command. Do nothing if the worker has ended: its exit fails all waiting commands."""
        line = encode(command).encode() + b"\n"
        with self._write_lock:
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(line)
                self._process.stdin.flush()
            except (OSError, ValueError):
                return

    def compile_bytecode(self) -> None:
        """Compile, in the background, the modules that the worker imported and may not cache. Call it after a load.

        The next worker starts faster.
        """
        if self._place and self.spec.requirements:
            about = f"Keeping the bytecode of {self.spec.title}"
            host_thread("bytecode", lambda: compile_imported(self._python, self._place), about).start()

    def stop(self, grace: float = 5.0) -> None:
        """Ask it to end, and kill it after `grace` seconds. Return when it has ended and `on_exit` has run."""
        self._intended = True
        self.send(Unload("unload"))
        if not self._gone.wait(grace):
            self._process.kill()
            self._gone.wait()
        if threading.current_thread() is not self._event_thread:
            self._event_thread.join()

    def kill(self, why: str, cause: str = "stuck") -> None:
        """Kill it because it does not respond, or because another machine of its model is lost.

        `why`: the sentence of the error for waiting commands. `cause`: as in WorkerExit.
        """
        self._killed = (cause, why)
        self._process.kill()

    def _read_events(self) -> None:
        fault = self._handle_events()
        self._kill_children()
        status = self._process.wait()
        self._error_thread.join(timeout=2)
        self._temporary.close()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                continue
        kills = out_of_memory_kills() - self._kernel_kills
        self._report_exit(
            classify(
                self.spec.title,
                status,
                self.stderr,
                intended=self._intended,
                kernel_kills=kills,
                fault=fault,
                killed=self._killed,
            )
        )

    def _handle_events(self) -> str:
        """Read events until the worker ends. Kill a worker whose events cannot be handled, because commands wait for
        them. Return a sentence in that case, else ""."""
        assert self._process.stdout is not None
        try:
            with explain_errors(f"Reading the output of {self.spec.title}"):
                for line in self._process.stdout:
                    try:
                        event = decode_event(line)
                    except ProtocolError as error:
                        event = Log("error", error.message)
                    self._on_event(event)
        except PaddockError as error:
            self._process.kill()
            return error.message
        return ""

    def _reading_failed(self, error: PaddockError) -> None:
        """Kill a worker whose output cannot be read any more, and report its exit to waiting commands."""
        self._process.kill()
        status = self._process.wait()
        if not self._gone.is_set():
            self._report_exit(WorkerExit("ended", status, error.message, self.stderr))

    def _report_exit(self, exit: WorkerExit) -> None:
        self._gone.set()
        self._on_exit(exit)

    def _kill_children(self) -> None:
        """Kill what a killed worker started, such as compilers. They are in its session."""
        if sys.platform != "win32":
            # It has ended but is not reaped, so its number is not reused yet. (macOS has no waitid before Python 3.13.)
            if hasattr(os, "waitid"):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            kill_process_tree(self.pid)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            for line in pipe:
                self._stderr.append(line.decode("utf-8", "replace").rstrip()[:_LONGEST_LINE])


def _temporary_folder(stack: contextlib.ExitStack) -> dict[str, str]:
    """Return variables for a temporary folder, which is removed with `stack`. Return {} if the disk is full."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="paddock-worker-", ignore_cleanup_errors=True)
        return dict.fromkeys(("TMPDIR", "TEMP", "TMP"), stack.enter_context(folder))
    except OSError:
        return {}


def clean_environment(python: Path) -> dict[str, str]:
    """Return the environment variables of a worker.

    They are the user's, without secrets, without variables that lead Python to other packages, and with the Hub
    offline: engines read local files only. Programs next to `python` come first in PATH: engines call ninja to compile
    their kernels.
    """
    return {
        **worker_environment(),
        "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
