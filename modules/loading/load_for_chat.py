"""Loads the model that a chat names, as a request of the API that names it does."""

from __future__ import annotations

import threading
from collections.abc import Callable

from modules.loading.load_on_request import LoadOnRequest, ModelNotFound
from modules.protocol.errors import PaddockError
from modules.runtime.model_pool import ModelPool


class LoadForChat:
    """Loads one model after another. Thread-safe; blocks."""

    def __init__(self, on_request: LoadOnRequest, pool: ModelPool) -> None:
        self._on_request = on_request
        self._pool = pool
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        """Load the model `name` where it has room, unless it is loaded. Raises PaddockError."""
        with self._lock:
            self._wait_for_loads(name)
            found = self._pool.find(name)
            if found is not None and found.ready:
                return
            try:
                self._on_request.check(name, "generate")
            except ModelNotFound:
                raise PaddockError(
                    f"This chat names the model {name[:200]}, which is not in the models folder. Choose another one "
                    "under This chat."
                ) from None
            self._on_request.load(name, lambda: False)

    def _wait_for_loads(self, name: str) -> None:
        """Wait while a load runs of this model or of the current one."""
        current = self._pool.current
        changed = threading.Event()

        def is_loading() -> bool:
            return any(model.supervisor.state.busy for model in (self._pool.find(name), current) if model)

        unsubscribe: Callable[[], None] = current.supervisor.state_store.subscribe(lambda state: changed.set())
        try:
            while is_loading():
                # A model beside the current one publishes elsewhere.
                changed.wait(0.25)
                changed.clear()
        finally:
            unsubscribe()
