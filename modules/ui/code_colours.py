"""Colours for code, made by Pygments in a process that is killed when a text takes it too long.

Many of Pygments' lexers need quadratic time for some texts, and one match of a regular expression holds the whole
interpreter. A reply is a stranger's text, so it is coloured apart from the host, within a time.
"""

from __future__ import annotations

import contextlib
from typing import Any

from modules.worker.json_process import JsonProcess, TooLate, serve_json

# Of one block. What takes longer stays plain.
SECONDS = 0.5
# Address space of the process, in bytes.
_MOST_MEMORY = 1 << 29


class CodeColours:
    """Owns the process: started when the first code is coloured, and again after it was killed. Safe for any thread."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process = JsonProcess(__name__)

    def colour(self, code: str, language: str) -> str | None:
        """`code` as HTML with spans of Pygments' short classes; "" where the language is unknown; None: too slow."""
        try:
            answer = self._process.ask({"code": code, "language": language}, self._seconds)
        except TooLate:
            return None
        except OSError:
            return ""
        return str(answer.get("html", "")) if answer else ""

    def close(self) -> None:
        """End the process, and start no other."""
        self._process.close()


def serve() -> None:
    """The process itself."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    formatter = HtmlFormatter(nowrap=True)

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        with contextlib.suppress(ClassNotFound, RecursionError, MemoryError):
            lexer = get_lexer_by_name(asked["language"], stripnl=False)
            return {"html": highlight(asked["code"], lexer, formatter)}
        return {}

    serve_json(answer, _MOST_MEMORY)
