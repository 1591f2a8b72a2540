"""Loads a model again after its worker died, when a request comes for it: with pauses, and a few times only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modules.protocol.errors import PaddockError
from modules.runtime.model_state import ModelState
from modules.runtime.supervisor import Supervisor

# Seconds between the death and each load that follows; as many loads in a row as there are pauses.
PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)
# A worker that lived so long did not die of being loaded: the count begins again.
STABLE_SECONDS = 60.0

Load = Callable[[str, str, Mapping[str, Any]], object]


class ModelReloader:
    """Knows the model whose worker died last. What a person loads or unloads takes its place. Thread-safe."""

    def __init__(
        self,
        supervisor: Supervisor,
        load: Load,
        pauses: Sequence[float] = PAUSES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load`: loads a model with a loader and its settings; blocking."""
        self._supervisor = supervisor
        self._load = load
        self._pauses = pauses
        self._clock = clock
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._lost: ModelState | None = None
        self._seen = supervisor.state
        self._ours = False
        self._tries = 0
        self._ready_at = self._died_at = 0.0
        supervisor.state_store.subscribe(self._changed)

    @property
    def worker_died(self) -> bool:
        """Whether a worker died and its model is not back."""
        return self._lost is not None

    def ensure_loaded(self) -> None:
        """Load the model whose worker died, if there is one; blocking. Raises PaddockError where it cannot be loaded,
        and where it died too often."""
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
                    f"{lost.model} ended {tries + 1} times in a row soon after it was loaded, so requests load it no "
                    f"more. Load it on the Model tab, with a lower context or another loader.{why}"
                )
            if self._closing.wait(max(0.0, wait)):
                raise PaddockError("Paddock is ending. Start it again, then send the request again.")
            self._ours = True
            try:
                self._load(lost.model, lost.loader, lost.settings)
            finally:
                self._ours = False

    def close(self) -> None:
        """Let nobody wait for a pause any more."""
        self._closing.set()

    def _changed(self, state: ModelState) -> None:
        with self._lock:
            before, self._seen = self._seen, state
            now = self._clock()
            if state.phase == "ready":
                if state.info is not before.info or before.phase != "ready":
                    self._ready_at, self._lost = now, None
                    self._tries = self._tries if self._ours else 0
            elif state.phase == "failed" and state.info is not None:
                # It was ready, so this is a death and no failed load.
                if state.error is not before.error:
                    self._lost, self._died_at = state, now
                    self._tries = 0 if now - self._ready_at >= STABLE_SECONDS else self._tries
            elif not self._ours:
                self._lost, self._tries = None, 0
