"""Colour code with Pygments, in a process that is killed when a text takes too long.

Many of Pygments' lexers need quadratic time for some texts, and one match of a regular expression blocks the whole
interpreter. A reply is untrusted text, so it is coloured outside the host, with a time limit.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from modules.system.json_process import JsonProcess, RequestTimeout, serve_json

# Time limit of one block. A block that takes longer stays plain.
SECONDS = 0.5
# After so many late blocks within so many seconds, all code stays plain for a while: a chat may have hundreds of them.
_LATE_BLOCKS, _LATE_WITHIN = 3, 60.0
# Limit of the process's address space in bytes.
_MAX_MEMORY = 1 << 29


class CodeColours:
    """Owns the process. It starts with the first code, and again after it was killed. Thread-safe."""

    def __init__(self, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._late: deque[float] = deque(maxlen=_LATE_BLOCKS)
        self._process = JsonProcess(__name__)

    def colour(self, code: str, language: str) -> str | None:
        """Return `code` as HTML with Pygments' short classes, "" if the language is unknown, None if too slow."""
        if len(self._late) == _LATE_BLOCKS and self._clock() - self._late[0] < _LATE_WITHIN:
            return None
        try:
            answer = self._process.ask({"code": code, "language": language}, self._seconds)
        except RequestTimeout:
            self._late.append(self._clock())
            return None
        except OSError:
            return ""
        return str(answer.get("html", "")) if answer else ""

    def close(self) -> None:
        """End the process. No other one is started."""
        self._process.close()


def serve() -> None:
    """Run the process's loop."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    formatter = HtmlFormatter(nowrap=True)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        with contextlib.suppress(ClassNotFound, RecursionError, MemoryError):
            lexer = get_lexer_by_name(request["language"], stripnl=False)
            return {"html": highlight(request["code"], lexer, formatter)}
        return {}

    serve_json(answer, _MAX_MEMORY)
