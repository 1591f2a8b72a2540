"""A notebook: one text for all pages, stored in a file, that the model continues. With undo."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.chat.messages import ChatOptions
from modules.chat.turn_hooks import TextHooks
from modules.files.paths import write_atomically
from modules.generation.generation import Generation
from modules.plugins.extension_generations import completed, deferred
from modules.protocol.errors import PaddockError, Unsupported
from modules.protocol.sampling import SamplingParams
from modules.system.listeners import Listeners
from modules.system.threads import host_thread
from modules.ui.json_errors import error_json
from modules.ui.model_status import describe_state
from modules.ui.notebook_tokens import TokenView, why_no_tokens
from modules.ui.sse import CurrentGeneration, Subscribe, event_stream, sse_event

if TYPE_CHECKING:
    from modules.app import App

_MAX_UNDO = 100
_SAVE_SECONDS = 1.0


class Notebook:
    """One text. `author` is the page that made the last change; it need not get that again. Thread-safe."""

    def __init__(self, app: App, path: Path | None = None) -> None:
        self._app = app
        self._path = path or app.paths.notebook
        self._lock = threading.RLock()
        self._text = ""
        if self._path.exists():
            self._text = self._path.read_text(encoding="utf-8", errors="replace")
        # False after a failed save: the file does not hold the text then.
        self._saved = True
        self._past: list[str] = []
        self._future: list[str] = []
        self._listeners: Listeners[Callable[[], None]] = Listeners()
        self.generation: Generation | None = None
        self.error: PaddockError | None = None
        self.author = ""
        # The tokens of the last generation that was asked for them.
        self.tokens: TokenView | None = None

    def text(self) -> str:
        """Return the text with what a generation has added so far."""
        with self._lock:
            return self._text + (self.generation.text if self.generation else "")

    def facts(self) -> dict[str, Any]:
        """Return what a page shows besides the growth of the text."""
        with self._lock:
            return {
                "text": self._text,
                "author": self.author,
                "writing": self.generation is not None,
                "undo": bool(self._past),
                "redo": bool(self._future),
                "error": error_json(self.error) if self.error else None,
                "tokens": self.tokens.revision if self.tokens else "",
            }

    def write(self, text: str, author: str) -> None:
        """Replace the text. Raise PaddockError while the model writes."""
        with self._lock:
            self._check_idle()
            if text == self._text and self._saved:
                return
            self._record(text)
            self.author = author
        self._tell()

    def generate(self, text: str, params: SamplingParams, author: str, top: int = -1) -> None:
        """Let the model continue `text`. `top`: note so many alternatives of each token; -1: no tokens.

        Raises PaddockError if no model is loaded.
        """
        with self._lock:
            self._check_idle()
            self.error = None
            if text != self._text or not self._saved:
                self._record(text)
            self.author = author
            generation = self.generation = self._begin(text, params, top)
        self._tell()
        generation.on_change(lambda: self._finish(generation) if generation.done else None)
        host_thread("notebook-saver", lambda: self._save_while_writing(generation), "Storing the notebook").start()

    def _save_while_writing(self, generation: Generation) -> None:
        """Store the model's first words at once, and its text once a second, so that a crash loses little."""
        length, gather = 0, 0.0
        while fresh := next(generation.follow(length, gather), ""):
            length, gather = length + len(fresh), _SAVE_SECONDS
            with self._lock:
                if self.generation is not generation:
                    return
                with contextlib.suppress(PaddockError):  # The save at the end reports a failure.
                    write_atomically(self._path, self._text + generation.text)

    def _begin(self, text: str, params: SamplingParams, top: int = -1) -> Generation:
        """Return the generation that continues the text, with the hooks of the extensions that are on."""
        app = self._app
        app.supervisor.loaded()
        if top >= 0 and (why := why_no_tokens(app)):
            raise Unsupported(why)
        if not app.extensions.running:
            return app.page_model.generate(text, params, top_logprobs=top)

        def make() -> Generation:
            hooks = TextHooks(app.extensions, text, params, ChatOptions(), app.supervisor.state)
            source = hooks.generate(app.page_model, hooks.prompt, text, hooks.params)
            return completed(source, "", hooks.final_text, live=True)

        return deferred(text, params, make)

    def stop(self) -> None:
        """Stop the generation and keep what it has written."""
        if generation := self.generation:
            generation.cancel()

    def undo(self) -> None:
        """Restore the text before the last change."""
        self._restore(self._past, self._future)

    def redo(self) -> None:
        """Undo the last undo."""
        self._restore(self._future, self._past)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` whenever `facts` changed, from any thread; returns what ends that."""
        return self._listeners.add(callback)

    def _check_idle(self) -> None:
        if self.generation:
            raise PaddockError("The model is writing in the Notebook. Press Stop first.")

    def _record(self, text: str) -> None:
        if text != self._text:
            self._past = [*self._past[-_MAX_UNDO:], self._text]
            self._future = []
            self._text = text
        self._save()

    def _restore(self, source: list[str], target: list[str]) -> None:
        with self._lock:
            self._check_idle()
            if not source:
                return
            target.append(self._text)
            self._text = source.pop()
            self.author = ""
            self._save()
        self._tell()

    def _finish(self, generation: Generation) -> None:
        with self._lock:
            if self.generation is not generation:
                return
            self.generation = None
            self.error = generation.error
            self.author = ""
            if generation.logprobs:
                self.tokens = TokenView.of(self._text, generation)
            if generation.final_text:
                try:
                    self._record(self._text + generation.final_text)
                except PaddockError as error:
                    self.error = self.error or error
        self._tell()

    def _save(self) -> None:
        self._saved = False
        write_atomically(self._path, self._text)
        self._saved = True

    def _tell(self) -> None:
        self._listeners.notify()


def follow_notebook(app: App, notebook: Notebook) -> AsyncIterator[bytes]:
    """Return the events of one page that shows the notebook: `text` on a change, `growth` while the model writes,
    `state`."""
    current = CurrentGeneration()
    sent = 0

    async def events(names: set[str]) -> AsyncIterator[bytes]:
        nonlocal sent
        if "state" in names:
            yield sse_event(describe_state(app), "state")
        if "text" in names:
            generation = notebook.generation
            yield sse_event(notebook.facts(), "text")
            if current.switch(generation):
                sent = 0
        writing = current.generation
        if writing and notebook.generation is writing and (fresh := writing.text[sent:]):
            sent += len(fresh)
            yield sse_event({"add": fresh, "tokens": writing.tokens}, "growth")

    sources: dict[str, Subscribe] = {
        "text": notebook.subscribe,
        "state": app.supervisor.state_store.subscribe,
        "growth": current.subscribe,
    }
    return event_stream(sources, events)
