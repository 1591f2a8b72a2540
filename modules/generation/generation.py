"""A generation belongs to the host, not to a browser tab: an append-only buffer that any number of readers follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from modules.protocol.errors import PaddockError
from modules.protocol.events import Finished
from modules.protocol.sampling import SamplingParams
from modules.system.listeners import Listeners


class Generation:
    """One answer on its way. Thread-safe. `feed`, `finish` and `fail` are for whoever reads the worker.

    `opening`: what the text begins with, as the prompt holds it already.

    `revised`: what the whole text turned out to be, where it cannot be told by adding to it; None otherwise.
    `error`: it ended badly; the text that had arrived stays. `hooks`: those of extensions in the worker take part.
    """

    def __init__(
        self,
        id: str,
        prompt: str,
        params: SamplingParams,
        cancel: Callable[[str], None],
        hooks: bool = True,
        opening: str = "",
    ) -> None:
        self.id = id
        self.prompt = prompt
        self.params = params
        self.hooks = hooks
        self.tokens = 0
        self.created = time.monotonic()
        self.first_token_seconds: float | None = None
        self.finished: Finished | None = None
        self.error: PaddockError | None = None
        self.revised: str | None = None
        self._cancel = cancel
        self._pieces: list[str] = []
        self._joined = opening
        self._length = self._opened = len(opening)
        self._changed = threading.Condition()
        self._listeners: Listeners[Callable[[], None]] = Listeners()

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self.finished is not None or self.error is not None

    @property
    def empty_reply_note(self) -> str:
        """A sentence where the engine ended the reply without any text; "" otherwise."""
        finished = self.finished
        if finished is None or self._length > self._opened or finished.reason in ("cancelled", "stop_text"):
            return ""
        if finished.reason != "stop" and not finished.generated_tokens:  # None was asked for.
            return ""
        if finished.generated_tokens > 1:
            return (
                f"The model wrote no text: none of its {finished.generated_tokens} tokens is shown, such as special "
                "tokens. Check that the model is made for chats and that its chat template fits."
            )
        return "The model ended its reply at once, without any text. Ask in other words, or check its chat template."

    @property
    def text(self) -> str:
        """All that has arrived."""
        with self._changed:
            if self._pieces:
                self._joined += "".join(self._pieces)
                self._pieces.clear()
            return self._joined

    @property
    def final_text(self) -> str:
        """The text as it turned out."""
        return self.text if self.revised is None else self.revised

    @property
    def length(self) -> int:
        """Characters that have arrived."""
        return self._length

    def follow(self, offset: int = 0, gather: float = 0.05) -> Iterator[str]:
        """New text from character `offset` on, until the end; arrivals within `gather` seconds come as one piece."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda seen=offset: self._length > seen or self.done)  # type: ignore[misc]
                ended = self.done
                if not ended and gather:
                    self._changed.wait_for(lambda: self.done, gather)
                    ended = self.done
            if fresh := self.text[offset:]:
                offset += len(fresh)
                yield fresh
            if ended:
                return

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; False when `timeout` seconds passed first."""
        with self._changed:
            return self._changed.wait_for(lambda: self.done, timeout)

    def cancel(self) -> None:
        """Stop this generation, and no other. It ends with reason "cancelled" and keeps its text."""
        self._cancel(self.id)

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` at each arrival and at the end, from another thread; returns what ends that.

        Called once at once if it has ended already, so that nobody waits for an end that is past.
        """
        with self._changed:
            unsubscribe = self._listeners.add(callback)
            ended = self.done
        if ended:
            callback()
        return unsubscribe

    def feed(self, text: str, tokens: int) -> None:
        """Text arrived."""
        with self._changed:
            if self.first_token_seconds is None:
                self.first_token_seconds = time.monotonic() - self.created
            self._pieces.append(text)
            self._length += len(text)
            self.tokens += tokens
        self._notify()

    def finish(self, finished: Finished) -> None:
        """The engine is through."""
        with self._changed:
            self.finished = finished
            self.tokens = finished.generated_tokens
        self._notify()

    def fail(self, error: PaddockError) -> None:
        """It ended badly."""
        with self._changed:
            if not self.done:
                self.error = error
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self._listeners.notify()
