"""Where the one worker's state hangs for everybody to see."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable

from modules.protocol.errors import PaddockError
from modules.runtime.model_state import ModelState
from modules.system.listeners import Listeners

Listener = Callable[[ModelState], None]


class Superseded(PaddockError):
    """A load that did not come to its turn before something else was asked for."""


class StateStore:
    """Holds the present state, and tells each new one to those who subscribed. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: Listeners[Listener] = Listeners()
        self.state = ModelState()

    def subscribe(self, callback: Listener) -> Callable[[], None]:
        """Call `callback` with each new state, from any thread; returns what ends that."""
        return self._listeners.add(callback)

    def publish(self) -> None:
        """Tell every listener the present state once more."""
        self.change(lambda now: now)

    def set(self, state: ModelState) -> None:
        """Put `state` in place of the one before."""
        self.change(lambda _: state)

    def change(self, change: Callable[[ModelState], ModelState]) -> None:
        """Put what `change` makes of the present state in its place; nothing comes between."""
        with self._lock:
            state = self.state = change(self.state)
        self._listeners.notify(state)

    def show_failure(self, model: str, loader: str, error: PaddockError) -> None:
        """Tell of a load that failed, if the state does not yet; beside a model that is loaded all the same."""

        def told(now: ModelState) -> ModelState:
            if now.error is error or isinstance(error, Superseded):
                return now
            if now.phase == "ready":
                return dataclasses.replace(now, error=error)
            return ModelState("failed", model, loader, error=error)

        self.change(told)

    def show_refusal(self, model: str, loader: str, error: PaddockError) -> None:
        """Tell of a load that was refused (no such model, no consent, no loader), unless another model is loaded, or
        being loaded: that one stays."""
        if self.state.phase in ("empty", "failed"):
            self.show_failure(model, loader, error)
