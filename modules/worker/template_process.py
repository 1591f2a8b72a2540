"""Renders chat templates in a process of their own, which is killed when a template takes too long or too much memory.

A template is a stranger's program. Inside the worker, one long call into C (`'x'.ljust(10**10)`) would hold the whole
interpreter, and its memory would be the engine's. The process is kept from one prompt to the next.
"""

from __future__ import annotations

from typing import Any

from modules.protocol.errors import PromptError
from modules.worker.chat_template import ADVICE, render
from modules.worker.json_process import JsonProcess, RequestTimeout, serve_json

SECONDS = 3.0
# Address space of the process, in bytes. An interpreter with Jinja takes some 40 MB of it.
_MOST_MEMORY = 1 << 30


class TemplateProcess:
    """Starts the process when it is first needed, or with `start`, and again after it was killed. Thread-safe."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process = JsonProcess(__name__)

    def start(self) -> None:
        """Begin to start the process, so that the first prompt need not wait for it."""
        self._process.start()

    def render(self, template: str, messages: list[dict[str, Any]], **values: Any) -> str:
        """What `chat_template.render` returns, or raises, for these arguments."""
        try:
            answer = self._process.ask({"template": template, "messages": messages, **values}, self._seconds)
        except RequestTimeout:
            raise PromptError(
                f"The chat template ran longer than {self._seconds:g} seconds and was stopped. {ADVICE}"
            ) from None
        if answer is None:
            raise PromptError(f"The chat template crashed its renderer, most likely for want of memory. {ADVICE}")
        if "error" in answer:
            raise PromptError(str(answer["error"]))
        return str(answer["prompt"])

    def close(self) -> None:
        """End the process, and start no other."""
        self._process.close()


def serve() -> None:
    """The process itself."""
    import jinja2.sandbox  # noqa: F401 (imported before the first request, whose time it would take)

    serve_json(_answer, _MOST_MEMORY)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"prompt": render(**request)}
    except PromptError as error:
        return {"error": error.message}
    except MemoryError:
        return {"error": f"The chat template needs too much memory. {ADVICE}"}
