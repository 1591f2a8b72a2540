"""Unloads models that no request has used for as long as they are kept."""

from __future__ import annotations

import threading

from modules.runtime.model_pool import ModelPool
from modules.runtime.pool_model import PoolModel
from modules.system.threads import host_thread

# How often a model that is in use is looked at again, at least.
_LOOK_SECONDS = 0.25
# How long a model stays at least that nothing has used since its load: the request that it was loaded for comes soon.
_UNUSED_SECONDS = 60.0


class IdleUnloader:
    """Watches the pool on a thread of the host, from the first model that is not kept for ever."""

    def __init__(self, pool: ModelPool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Look again, since a model was loaded, used, or is kept for another time."""
        with self._lock:
            if self._thread is None and not self._closing and self._next_look() is not None:
                self._thread = host_thread("idle models", self._run, "Unloading idle models")
                self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """End the thread. An unload that has begun ends first."""
        with self._lock:
            self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._next_look())
            self._wake.clear()
            for model in self._pool.models:
                if not self._closing and self._seconds_left(model) == 0:
                    self._pool.unload_if_idle(model)

    def _next_look(self) -> float | None:
        """Return the seconds until the first model may have to be unloaded, None if none ever has to be."""
        return min((left for left in map(self._seconds_left, self._pool.models) if left is not None), default=None)

    def _seconds_left(self, model: PoolModel) -> float | None:
        """Return for how long the model stays if nothing uses it from now on, None for ever."""
        keep = model.keep_alive
        # The failure of the current model stays on the page.
        shown = model.ready or (model is not self._pool.current and model.supervisor.state.phase == "failed")
        if keep is None or model.pinned or not shown:
            return None
        if model.unused:
            keep = max(keep, _UNUSED_SECONDS)
        idle = model.idle_seconds
        return max(keep, _LOOK_SECONDS) if idle is None else max(0.0, keep - idle)
