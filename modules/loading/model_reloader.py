"""Loads a model again at the next request after its worker died: with growing pauses, a limited number of times."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from modules.protocol.errors import PaddockError
from modules.runtime.model_state import ModelState
from modules.runtime.supervisor import Supervisor

# Seconds from the worker's death to each load after it. The number of pauses is the most loads in a row.
PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)
# A worker that lived this long did not die because of its load. The count starts again.
STABLE_SECONDS = 60.0

Load = Callable[[ModelState], object]


class ModelReloader:
    """Remembers the model whose worker died, until a person loads or unloads a model. Thread-safe."""

    def __init__(
        self,
        supervisor: Supervisor,
        load: Load,
        pauses: Sequence[float] = PAUSES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load`: loads the model of a state again, with the same loader and settings; blocking."""
        self._supervisor = supervisor
        self._load = load
        self._pauses = pauses
        self._clock = clock
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._lost: ModelState | None = None
        self._seen = supervisor.state
        self._loading = False
        self._tries = 0
        self._ready_at = self._died_at = 0.0
        supervisor.state_store.subscribe(self._changed)

    @property
    def worker_died(self) -> bool:
        """True if a worker died and its model is not loaded again yet."""
        return self._lost is not None

    def ensure_loaded(self) -> None:
        """Load the model whose worker died, if there is one; blocking. Raise PaddockError if the load fails, or if the
        worker died too often."""
        with self._turn:
            with self._lock:
                lost, tries = self._lost, self._tries
                if lost is None:
                    return
                if tries < len(self._pauses):
                    wait = self._died_at + self._pauses[tries] - self._clock()
                    self._tries += 1
            if tries >= len(self._pauses):
                why = f" {lost.error.message}" if lost.error else ""
                raise PaddockError(
                    f"{lost.model} ended {tries + 1} times in a row soon after it was loaded, so requests do not "
                    f"load it again. Load it on the Model tab, with a lower context or another loader.{why}"
                )
            if self._closing.wait(max(0.0, wait)):
                raise PaddockError("Paddock is shutting down. Start it again, then send the request again.")
            self._loading = True
            try:
                self._load(lost)
            finally:
                self._loading = False

    def close(self) -> None:
        """End the pauses; requests that wait for one fail."""
        self._closing.set()

    def _changed(self, state: ModelState) -> None:
        with self._lock:
            before, self._seen = self._seen, state
            now = self._clock()
            if state.phase == "ready":
                if state.info is not before.info or before.phase != "ready":
                    self._ready_at, self._lost = now, None
                    self._tries = self._tries if self._loading else 0
            elif state.phase == "failed" and state.info is not None:
                # `info` is set, so the model was ready: its worker died, the load did not fail.
                if state.error is not before.error:
                    self._lost, self._died_at = state, now
                    self._tries = 0 if now - self._ready_at >= STABLE_SECONDS else self._tries
            elif not self._loading:
                self._lost, self._tries = None, 0
