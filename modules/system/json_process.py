"""A Python process that answers requests in JSON, one per line, and is killed when an answer takes too long.

For work on untrusted text that a thread could not be stopped in. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

# An interpreter may start slowly on a busy machine. This time does not count for the request.
START_SECONDS = 60.0
_ROOT = Path(__file__).resolve().parents[2]
# Isolated mode: packages of the working directory or of the user cannot shadow these modules. Ctrl+C in a terminal and
# the end of a service go to all processes; the one that started this process ends it when it wants no more answers.
_CODE = (
    "import signal, sys; [signal.signal(one, signal.SIG_IGN) for one in (signal.SIGINT, signal.SIGTERM)]; "
    "sys.path.insert(0, sys.argv[1]); from {} import serve; serve()"
)


class RequestTimeout(Exception):
    """The answer took longer than its seconds; the process was killed."""


class JsonProcess:
    """Runs `serve` of `module`, which calls `serve_json`. Starts with `start` or the first request, and again after the
    process was killed. Thread-safe."""

    def __init__(self, module: str) -> None:
        self._command = [sys.executable, "-I", "-c", _CODE.format(module), str(_ROOT)]
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._greeted = False
        self._closed = False

    def start(self) -> None:
        """Begin to start the process, so that the first request need not wait for it. Raises OSError."""
        with self._lock:
            self._begin()

    def ask(self, request: dict[str, object], seconds: float) -> dict[str, Any] | None:
        """Return the answer, or None where the process broke or was closed.

        Raises RequestTimeout, and OSError where the process cannot be started.
        """
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            if self._closed:
                return None
            process = self._begin()
            if not self._greeted and self._answer(process, b"", START_SECONDS) is None:
                return None
            self._greeted = True
            return self._answer(process, line, seconds)

    def close(self) -> None:
        """End the process and do not start another."""
        with self._lock:
            self._closed = True
            self._end()

    def _begin(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
            self._greeted = False
        return self._process

    def _answer(self, process: subprocess.Popen[bytes], line: bytes, seconds: float) -> dict[str, Any] | None:
        """Write `line` and return the answer. Kill the process after `seconds`, or if it breaks."""
        assert process.stdin is not None and process.stdout is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        clock = threading.Timer(seconds, kill)
        clock.start()
        pieces: list[bytes] = []
        try:
            with contextlib.suppress(OSError):
                view = memoryview(line)
                while view:  # an unbuffered pipe takes what fits
                    view = view[process.stdin.write(view) :]
                while not (pieces and pieces[-1].endswith(b"\n")) and (piece := process.stdout.read(1 << 16)):
                    pieces.append(piece)
        finally:
            clock.cancel()
        if pieces and pieces[-1].endswith(b"\n") and not late.is_set():
            return dict(json.loads(b"".join(pieces)))
        self._end()
        if late.is_set():
            raise RequestTimeout
        return None

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def serve_json(answer: Callable[[dict[str, Any]], dict[str, Any]], most_memory: int) -> None:
    """Run the process: greet, then answer each request until stdin ends. `most_memory`: limit of its address space in
    bytes, if the system supports one."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = most_memory if hard == resource.RLIM_INFINITY else min(most_memory, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    sys.stdout.buffer.write(b"{}\n")
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(json.dumps(answer(json.loads(line))).encode() + b"\n")
        sys.stdout.buffer.flush()
