"""Holds the state of the one worker and publishes its changes."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable

from modules.protocol.errors import PaddockError
from modules.runtime.model_state import ModelState
from modules.system.listeners import Listeners

Listener = Callable[[ModelState], None]


class Superseded(PaddockError):
    """A load that did not begin because of a later request."""


class StateStore:
    """The current state and its subscribers. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: Listeners[Listener] = Listeners()
        self.state = ModelState()

    def subscribe(self, callback: Listener) -> Callable[[], None]:
        """Call `callback` with each new state, from any thread. Return a function that unsubscribes."""
        return self._listeners.add(callback)

    def publish(self) -> None:
        """Send the current state to every subscriber again."""
        self.update(lambda now: now)

    def set(self, state: ModelState) -> None:
        """Replace the state."""
        self.update(lambda _: state)

    def update(self, change: Callable[[ModelState], ModelState]) -> None:
        """Replace the state with `change(state)` in one step."""
        with self._lock:
            state = self.state = change(self.state)
        self._listeners.notify(state)

    def show_failure(self, model: str, loader: str, error: PaddockError) -> None:
        """Show a failed load, unless the state shows it already. A model that is still loaded stays, with the error."""

        def failed(now: ModelState) -> ModelState:
            if now.error is error or isinstance(error, Superseded):
                return now
            if now.phase == "ready":
                return dataclasses.replace(now, error=error)
            return ModelState("failed", model, loader, error=error)

        self.update(failed)

    def show_refusal(self, model: str, loader: str, error: PaddockError) -> None:
        """Show a refused load (no such model, no consent, no loader), unless another model is loaded or loading."""
        if self.state.phase in ("empty", "failed"):
            self.show_failure(model, loader, error)
