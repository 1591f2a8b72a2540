"""The loaded models: the current one of the page, and others beside it that API requests asked for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from modules.protocol.errors import PaddockError
from modules.protocol.model_purpose import generates_text
from modules.runtime.model_state import ModelState
from modules.runtime.pool_model import PoolModel
from modules.runtime.supervisor import OnMeasured, Supervisor


class ModelPool:
    """Owns all supervisors. Thread-safe.

    `make`: returns a new supervisor. `keep_alive`: as in PoolModel, for the current model. Subscribers of the current
    model's state hear of each change of the others too.
    """

    def __init__(self, make: Callable[[], Supervisor], keep_alive: float | None = None) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._others: list[PoolModel] = []
        self._on_measured: OnMeasured = lambda request, info, watch: None
        self._on_model: list[Callable[[PoolModel], None]] = []
        self.current = PoolModel(make(), keep_alive)

    @property
    def others(self) -> list[PoolModel]:
        """The models beside the current one, in the order of their loads."""
        with self._lock:
            return list(self._others)

    @property
    def models(self) -> list[PoolModel]:
        """The current model and the others."""
        return [self.current, *self.others]

    def states(self) -> list[ModelState]:
        """Return the states of all models, the current one's first."""
        return [model.supervisor.state for model in self.models]

    def find(self, name: str) -> PoolModel | None:
        """Return the model `name`, "" for the default one, if it is loaded, is loading or has failed."""
        return next((model for model in self.models if model.name == name), None) if name else self.default

    @property
    def default(self) -> PoolModel:
        """The current model. If there is none, the one that was used last, preferably one that generates text."""
        ready = [model for model in self.others if model.ready]
        ready = [model for model in ready if generates_text(model.purpose)] or ready
        return min(ready, key=_idle) if ready and self.current.supervisor.state.phase == "empty" else self.current

    def evictable(self) -> list[PoolModel]:
        """Return the models beside the current one that may be unloaded to make room, the longest unused first."""
        idle = [model for model in self.others if not model.pinned and model.idle_seconds is not None]
        return sorted(idle, key=_idle, reverse=True)

    def add(self, keep_alive: float | None) -> PoolModel:
        """Return a new place for a model beside the current one. `keep_alive`: as in PoolModel, by default."""
        model = PoolModel(self._make(), keep_alive)
        model.supervisor.on_measured(self._on_measured)
        model.supervisor.state_store.subscribe(lambda state: self.publish())
        with self._lock:
            self._others.append(model)
            callbacks = list(self._on_model)
        for callback in callbacks:
            callback(model)
        return model

    def on_model(self, callback: Callable[[PoolModel], None]) -> None:
        """Call `callback` with each place for a model, and with each that is added."""
        with self._lock:
            self._on_model.append(callback)
        for model in self.models:
            callback(model)

    def remove(self, model: PoolModel) -> int:
        """End the worker of a model beside the current one, also while it is used. Return the bytes freed."""
        freed = model.supervisor.unload()
        with self._lock:
            if model in self._others:
                self._others.remove(model)
        self.publish()
        return freed

    def unload_if_idle(self, model: PoolModel) -> bool:
        """Unload a model, unless it is in use. Return True if it was unloaded."""
        with model.without_requests(lambda: model.supervisor.generating() or model.idle_seconds is None) as free:
            if not free:
                return False
            if model is self.current:
                model.supervisor.unload()
            else:
                self.remove(model)
        return True

    def on_measured(self, callback: OnMeasured) -> None:
        """Call `callback` as Supervisor.on_measured says, for all models."""
        self._on_measured = callback
        for model in self.models:
            model.supervisor.on_measured(callback)

    def send_hooks(self) -> None:
        """Run the present hooks of extensions in all workers. Raise the first PaddockError at the end."""
        errors = []
        for model in self.models:
            try:
                model.supervisor.send_hooks()
            except PaddockError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def publish(self) -> None:
        """Send the current model's state to its subscribers again, since something beside it has changed."""
        self.current.supervisor.state_store.publish()

    def cancel_loads(self) -> None:
        """End all running loads. Loaded models stay."""
        for model in self.models:
            model.supervisor.cancel_load()

    def close(self) -> None:
        """End all workers."""
        with contextlib.ExitStack() as stack:
            for model in self.models:
                stack.callback(model.supervisor.close)


def _idle(model: PoolModel) -> float:
    return model.idle_seconds or 0.0
