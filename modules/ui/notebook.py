"""The Notebook's text: one text for all pages, kept in a file, continued by the model, with undo."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from modules.chat.messages import ChatOptions
from modules.chat.turn_hooks import TextHooks
from modules.files.paths import write_atomically
from modules.generation.generation import Generation
from modules.plugins.extension_generations import completed, deferred
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.system.listeners import Listeners
from modules.system.threads import host_thread
from modules.ui.json_errors import error_json
from modules.ui.model_status import describe_state
from modules.ui.sse import CurrentGeneration, Subscribe, event_stream, sse_event

if TYPE_CHECKING:
    from modules.app import App

_STEPS = 100
_KEEP_SECONDS = 1.0


class Notebook:
    """One text. `author` of a change is the page that made it, which need not hear of it again. Thread-safe."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._path = app.paths.notebook
        self._lock = threading.RLock()
        self._text = ""
        if self._path.exists():
            self._text = self._path.read_text(encoding="utf-8", errors="replace")
        # Whether the file holds the text: not after a save that failed.
        self._kept = True
        self._past: list[str] = []
        self._future: list[str] = []
        self._listeners: Listeners[Callable[[], None]] = Listeners()
        self.generation: Generation | None = None
        self.error: PaddockError | None = None
        self.author = ""

    def text(self) -> str:
        """All of it, with what a generation has added so far."""
        with self._lock:
            return self._text + (self.generation.text if self.generation else "")

    def facts(self) -> dict[str, Any]:
        """What a page needs besides the text that grows."""
        with self._lock:
            return {
                "text": self._text,
                "author": self.author,
                "writing": self.generation is not None,
                "undo": bool(self._past),
                "redo": bool(self._future),
                "error": error_json(self.error) if self.error else None,
            }

    def write(self, text: str, author: str) -> None:
        """A person changed the text. While the model writes, the text is the model's: a change is refused."""
        with self._lock:
            self._idle()
            if text == self._text and self._kept:
                return
            self._step(text)
            self.author = author
        self._tell()

    def generate(self, text: str, params: SamplingParams, author: str) -> None:
        """Continue `text`. Raises PaddockError when no model is loaded."""
        with self._lock:
            self._idle()
            self.error = None
            if text != self._text or not self._kept:
                self._step(text)
            self.author = author
            generation = self.generation = self._begin(text, params)
        self._tell()
        generation.on_change(lambda: self._settle(generation) if generation.done else None)
        host_thread("notebook-saver", lambda: self._keep(generation), "Storing the notebook").start()

    def _keep(self, generation: Generation) -> None:
        """Write the file with the model's first words at once, then once a second: a kill must not lose them."""
        length, gather = 0, 0.0
        while fresh := next(generation.follow(length, gather), ""):
            length, gather = length + len(fresh), _KEEP_SECONDS
            with self._lock:
                if self.generation is not generation:
                    return
                with contextlib.suppress(PaddockError):  # The save at the end says so.
                    write_atomically(self._path, self._text + generation.text)

    def _begin(self, text: str, params: SamplingParams) -> Generation:
        """What the model continues the text with, passed through the hooks of the extensions that are on."""
        app = self._app
        app.supervisor.loaded()
        if not app.extensions.running:
            return app.supervisor.generate(text, params)

        def make() -> Generation:
            hooks = TextHooks(app.extensions, text, params, ChatOptions(), app.supervisor.state)
            source = hooks.generate(app.supervisor, hooks.prompt, text, hooks.params)
            return completed(source, "", hooks.final_text, live=True)

        return deferred(text, params, make)

    def stop(self) -> None:
        """Stop the generation; what had arrived stays."""
        if generation := self.generation:
            generation.cancel()

    def undo(self) -> None:
        """Back to the text before the last change."""
        self._move(self._past, self._future)

    def redo(self) -> None:
        """Take the last undo back."""
        self._move(self._future, self._past)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` whenever `facts` changed, from any thread; returns what ends that."""
        return self._listeners.add(callback)

    def _idle(self) -> None:
        if self.generation:
            raise PaddockError("The model is writing in the notebook. Press Stop first.")

    def _step(self, text: str) -> None:
        if text != self._text:
            self._past = [*self._past[-_STEPS:], self._text]
            self._future = []
            self._text = text
        self._save()

    def _move(self, source: list[str], target: list[str]) -> None:
        with self._lock:
            self._idle()
            if not source:
                return
            target.append(self._text)
            self._text = source.pop()
            self.author = ""
            self._save()
        self._tell()

    def _settle(self, generation: Generation) -> None:
        with self._lock:
            if self.generation is not generation:
                return
            self.generation = None
            self.error = generation.error
            self.author = ""
            if generation.final_text:
                try:
                    self._step(self._text + generation.final_text)
                except PaddockError as error:
                    self.error = self.error or error
        self._tell()

    def _save(self) -> None:
        self._kept = False
        write_atomically(self._path, self._text)
        self._kept = True

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
