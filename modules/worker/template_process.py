"""Renders chat templates in a separate process, which is killed when a template takes too long or too much memory.

A template is an untrusted program. In the worker, one long call into C (`'x'.ljust(10**10)`) would block the whole
interpreter and take the engine's memory. The process is reused for later prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modules.protocol.errors import PromptError
from modules.system.json_process import JsonProcess, RequestTimeout, serve_json
from modules.worker.chat_template import ADVICE, render

SECONDS = 3.0
# Address space of the process, in bytes. An interpreter with Jinja uses about 40 MB.
_MOST_MEMORY = 1 << 30


class TemplateProcess:
    """Starts the process with `start` or the first prompt, and again after it was killed. Thread-safe."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process = JsonProcess(__name__)

    def start(self) -> None:
        """Start the process without waiting for it, so that the first prompt is fast."""
        self._process.start()

    def render(self, template: str, messages: Sequence[Mapping[str, object]], **values: object) -> str:
        """Return what `chat_template.render` returns for these arguments, or raise its PromptError."""
        try:
            answer = self._process.ask({"template": template, "messages": messages, **values}, self._seconds)
        except RequestTimeout:
            raise PromptError(
                f"The chat template ran longer than {self._seconds:g} seconds and was stopped. {ADVICE}"
            ) from None
        if answer is None:
            raise PromptError(f"The chat template crashed its renderer, most likely because memory ran out. {ADVICE}")
        if "error" in answer:
            raise PromptError(str(answer["error"]))
        return str(answer["prompt"])

    def close(self) -> None:
        """End the process and do not start another."""
        self._process.close()


def serve() -> None:
    """Answer requests to render templates until stdin ends."""
    import jinja2.sandbox  # noqa: F401 (imported before the first request, which has a time limit)

    serve_json(_answer, _MOST_MEMORY)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"prompt": render(**request)}
    except PromptError as error:
        return {"error": error.message}
    except MemoryError:
        return {"error": f"The chat template needs too much memory. {ADVICE}"}
