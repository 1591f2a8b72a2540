"""Colours for code, made by Pygments in a process that is killed when a text takes it too long.

Many of Pygments' lexers need quadratic time for some texts, and one match of a regular expression holds the whole
interpreter. A reply is a stranger's text, so it is coloured apart from the host, within a time.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

# Of one block. What takes longer stays plain.
SECONDS = 0.5
# On a busy machine an interpreter takes a while to start; that is not the block's time.
_START_SECONDS = 20.0
# Address space of the process, in bytes.
_MOST_MEMORY = 1 << 29
_ROOT = Path(__file__).resolve().parents[2]
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from modules.ui.code_colours import serve; serve()"


class CodeColours:
    """Owns the process: started when the first code is coloured, and again after it was killed. Safe for any thread."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def colour(self, code: str, language: str) -> str | None:
        """`code` as HTML with spans of Pygments' short classes; "" where the language is unknown; None: too slow."""
        line = json.dumps({"code": code, "language": language}).encode() + b"\n"
        with self._lock:
            if self._closed or (self._process is None and not self._start()):
                return ""
            answer = self._ask(line, self._seconds)
        return answer.get("html", "") if answer is not None else None

    def close(self) -> None:
        """End the process, and start no other."""
        with self._lock:
            self._closed = True
            self._end()

    def _start(self) -> bool:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _CODE, str(_ROOT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
        except OSError:
            return False
        return self._ask(b"", _START_SECONDS) is not None

    def _ask(self, line: bytes, seconds: float) -> dict[str, Any] | None:
        """The answer to `line`; None, and the process is killed, after `seconds` or where it breaks."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        clock = threading.Timer(seconds, process.kill)
        clock.start()
        answer = b""
        try:
            with contextlib.suppress(OSError):
                view = memoryview(line)
                while view:
                    view = view[process.stdin.write(view) :]
                while not answer.endswith(b"\n") and (piece := process.stdout.read(1 << 16)):
                    answer += piece
        finally:
            clock.cancel()
        if answer.endswith(b"\n"):
            return dict(json.loads(answer))
        self._end()
        return None

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


def serve() -> None:
    """The process itself: one JSON object a line in and out, until stdin ends."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    formatter = HtmlFormatter(nowrap=True)
    sys.stdout.buffer.write(b"{}\n")
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        answer = {}
        with contextlib.suppress(ClassNotFound, RecursionError, MemoryError):
            lexer = get_lexer_by_name(asked["language"], stripnl=False)
            answer["html"] = highlight(asked["code"], lexer, formatter)
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()
