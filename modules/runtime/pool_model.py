"""One model of the pool: its supervisor, the requests that use it, and how long it stays loaded."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from modules.protocol.events import ModelInfo
from modules.runtime.model_state import ModelState
from modules.runtime.supervisor import Supervisor

# How often a thread that waits for the end of all requests looks whether it still has to.
_LOOK_SECONDS = 0.25


class PoolModel:
    """A supervisor with its users. Thread-safe.

    `keep_alive`: the seconds without use after which a model is unloaded, None for never. A request may choose others
    for the model that is loaded, and a person may pin it: it is then never unloaded to make room, nor when idle. Both
    end with the load of another model.
    """

    def __init__(
        self, supervisor: Supervisor, keep_alive: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.supervisor = supervisor
        self._default = keep_alive
        # The seconds that a request chose, and the model that they are for.
        self._chosen: tuple[str, float | None] = ("", None)
        self._pinned = ""
        self._clock = clock
        self._changed = threading.Condition()
        self._using = 0
        self._closing = 0
        self._used_at = self._loaded_at = clock()
        self._info: ModelInfo | None = None
        supervisor.state_store.subscribe(self._note_load)

    @property
    def name(self) -> str:
        """The model's name, "" without one."""
        return self.supervisor.state.model

    @property
    def ready(self) -> bool:
        """True if the model answers."""
        return self.supervisor.state.phase == "ready"

    @property
    def purpose(self) -> str:
        """What the loaded model is for, one of PURPOSES; "" if that is not known, or no model is loaded."""
        request = self.supervisor.request()
        return request.facts.purpose if request else ""

    @property
    def keep_alive(self) -> float | None:
        """The seconds without use after which the model is unloaded, None for never."""
        model, seconds = self._chosen
        return seconds if model and model == self.name else self._default

    @keep_alive.setter
    def keep_alive(self, seconds: float | None) -> None:
        self._chosen = (self.name, seconds)

    @property
    def pinned(self) -> bool:
        """True if the model stays until a person unloads it."""
        return bool(self._pinned) and self._pinned == self.name

    @pinned.setter
    def pinned(self, pinned: bool) -> None:
        self._pinned = self.name if pinned else ""

    def enter(self) -> bool:
        """Keep the model loaded until `leave`. Return False if it is about to be unloaded."""
        with self._changed:
            if self._closing:
                return False
            self._using += 1
        return True

    def leave(self) -> None:
        """End what `enter` began. A generation that was started in between keeps the model until it ends."""
        with self._changed:
            self._using -= 1
            self._used_at = self._clock()
            self._changed.notify_all()

    @property
    def idle_seconds(self) -> float | None:
        """Seconds since the last use or the load, None while it is in use."""
        if self._using or self.supervisor.state.busy or self.supervisor.generating():
            return None
        return max(0.0, self._clock() - max(self._loaded_at, self._last_use()))

    @property
    def unused(self) -> bool:
        """True if nothing has used the model since it was loaded."""
        return self._last_use() <= self._loaded_at

    def _last_use(self) -> float:
        return max(self._used_at, self.supervisor.last_ended())

    def _note_load(self, state: ModelState) -> None:
        if state.info is not self._info:
            self._info, self._loaded_at = state.info, self._clock()

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Let no request begin to use the model while the block runs."""
        with self._changed:
            self._closing += 1
        try:
            yield
        finally:
            with self._changed:
                self._closing -= 1
                self._changed.notify_all()

    def wait_until_open(self) -> None:
        """Wait while requests may not begin to use the model."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closing)

    @contextlib.contextmanager
    def without_requests(self, stop: Callable[[], bool]) -> Iterator[bool]:
        """Wait until no request uses the model, and let none begin while the block runs. Yield False if `stop()`
        became true first."""
        with self.closed():
            with self._changed:
                while self._using and not stop():
                    self._changed.wait(_LOOK_SECONDS)
                used = self._using > 0
            if used:
                yield False
                return
            with self.supervisor.without_generations(stop) as free:
                yield free
