"""Renders chat templates in a process of their own, which is killed when a template takes too long or too much memory.

A template is a stranger's program. Inside the worker, one long call into C (`'x'.ljust(10**10)`) would hold the whole
interpreter, and its memory would be the engine's. The process is kept from one prompt to the next.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from modules.protocol.errors import PromptError
from modules.worker.chat_template import ADVICE, render

SECONDS = 3.0
# On a busy machine an interpreter takes a while to start; that is not the template's time.
_START_SECONDS = 60.0
# Address space of the process, in bytes. An interpreter with Jinja takes some 40 MB of it.
_MOST_MEMORY = 1 << 30
_ROOT = Path(__file__).resolve().parents[2]
# Isolated: no package of the working directory or of the user's environment comes before ours.
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from modules.worker.template_process import serve; serve()"


class TemplateProcess:
    """Starts the process when it is first needed, or with `start`, and again after it was killed. Thread-safe."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._greeted = False

    def start(self) -> None:
        """Begin to start the process, so that the first prompt need not wait for it."""
        with self._lock:
            self._begin()

    def render(self, template: str, messages: list[dict[str, Any]], **values: Any) -> str:
        """What `chat_template.render` returns, or raises, for these arguments."""
        request = {"template": template, "messages": messages, **values}
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            process = self._begin()
            if not self._greeted:
                self._answer(process, None, _START_SECONDS)
                self._greeted = True
            answer = self._answer(process, line, self._seconds)
        if "error" in answer:
            raise PromptError(str(answer["error"]))
        return str(answer["prompt"])

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _begin(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _CODE, str(_ROOT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
            )
            self._greeted = False
        return self._process

    def _answer(self, process: subprocess.Popen[bytes], line: bytes | None, seconds: float) -> dict[str, Any]:
        """Write `line` and read the answer; the process is killed after `seconds`, or where it breaks."""
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        clock = threading.Timer(seconds, kill)
        clock.start()
        answer = b""
        try:
            assert process.stdin is not None and process.stdout is not None
            with contextlib.suppress(OSError):
                if line is not None:
                    _write(process.stdin, line)
                answer = _read_line(process.stdout)
        finally:
            clock.cancel()
        if answer.endswith(b"\n") and not late.is_set():
            return dict(json.loads(answer))
        self._end()
        if late.is_set():
            raise PromptError(f"The chat template ran longer than {seconds:g} seconds and was stopped. {ADVICE}")
        raise PromptError(f"The chat template crashed its renderer, most likely for want of memory. {ADVICE}")

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


def _write(pipe: IO[bytes], data: bytes) -> None:
    """Write all of `data`: an unbuffered pipe takes what fits."""
    view = memoryview(data)
    while view:
        view = view[pipe.write(view) :]


def _read_line(pipe: IO[bytes]) -> bytes:
    """Everything up to the line break, or to the end of the pipe."""
    pieces: list[bytes] = []
    while piece := pipe.read(1 << 16):
        pieces.append(piece)
        if piece.endswith(b"\n"):
            break
    return b"".join(pieces)


def serve() -> None:
    """The process itself: requests in, prompts out, one JSON object a line, until stdin ends."""
    import jinja2.sandbox  # noqa: F401 (imported before the first request, whose time it would take)

    _limit_memory()
    sys.stdout.buffer.write(b"{}\n")
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        try:
            request = json.loads(line)
            answer = {"prompt": render(**request)}
        except PromptError as error:
            answer = {"error": error.message}
        except MemoryError:
            answer = {"error": f"The chat template needs too much memory. {ADVICE}"}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


def _limit_memory() -> None:
    """Bound the address space where the system can; elsewhere the sandbox's own limits have to do."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = _MOST_MEMORY if hard == resource.RLIM_INFINITY else min(_MOST_MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
