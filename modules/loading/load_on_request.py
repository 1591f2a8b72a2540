"""Loads the model that an API request names: beside the loaded ones if it fits, else in place of the page's model."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial

from modules.library.scan import ModelLibrary
from modules.loading.model_loading import ModelLoading, NoRoom
from modules.loading.model_reloader import ModelReloader
from modules.protocol.errors import ModelError, PaddockError, SettingError, Unsupported
from modules.protocol.model_purpose import explain_wrong_task, generates_text
from modules.runtime.environment import Environments
from modules.runtime.model_pool import ModelPool
from modules.runtime.model_state import ModelState
from modules.runtime.pool_model import PoolModel
from modules.system.program_name import program_name
from modules.system.threads import explain_errors, host_thread

# For so long, requests for a model whose load failed get the same error, so that they do not unload another one again.
RETRY_SECONDS = 30.0
# How often a load that waits for another model to become idle looks.
_LOOK_SECONDS = 0.25


class ModelNotFound(ModelError):
    """No model in the models folder has this name."""

    code = "model_not_found"


class ModelNotLoaded(ModelError):
    """The model exists, but is not loaded, and a request may not load it now."""

    code = "model_not_loaded"


class LoadOnRequest:
    """Which model a request means, whether it may be loaded, and its load. Thread-safe; the methods block.

    `models` loads the page's current model, and `reloader` loads it again after its worker died. `aliases`: other names
    of models. `allowed`: whether requests load models at all. `keep_alive`: seconds after which an unused model beside
    the current one is unloaded, None for never.
    """

    def __init__(
        self,
        library: ModelLibrary,
        environments: Environments,
        pool: ModelPool,
        models: ModelLoading,
        reloader: Callable[[], ModelReloader],
        aliases: Mapping[str, str],
        allowed: bool,
        keep_alive: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.aliases = dict(aliases)
        self._library = library
        self._environments = environments
        self._pool = pool
        self._current = pool.current.supervisor
        self._models = models
        self._reloader = reloader
        self._reloaders: dict[PoolModel, ModelReloader] = {}
        self.allowed = allowed
        self._keep_alive = keep_alive
        self._clock = clock
        self._closing = threading.Event()
        # Model -> when its load failed, and why.
        self._failed: dict[str, tuple[float, PaddockError]] = {}

    def resolve(self, value: object) -> str:
        """Return the model that the field `model` of a request means, "" for whichever is loaded.

        Raises SettingError if it is no text. Whether the model exists is not checked.
        """
        if value is not None and not isinstance(value, str):
            raise SettingError("'model' must be the name of a model, as GET /v1/models lists it.")
        name = (value or "").strip().rstrip("/")
        if name in self.aliases and name != self._current.state.model and name not in self._library.names():
            return self.aliases[name]
        return name

    def check(self, name: str, task: str = "") -> None:
        """Raise PaddockError if no request may load the model `name`, for any reason known before the load.

        `task`: what the request wants of it: "generate", "embed" or "rerank"; "" for whatever it can do.
        """
        state = self._current.state
        if state.phase == "installing":
            raise PaddockError(state.why_not_ready)
        found = self._pool.find(name)
        if not name or found and (found.ready or found.supervisor.state.busy):
            return
        if name not in self._library.names():
            raise self.not_found(name)
        lost = found is not None and self._lost(found)
        if not self.allowed and not lost:
            if state.phase != "ready":
                return  # `load` says that no model is loaded.
            raise ModelNotLoaded(
                f"The model {name[:200]!r} is not loaded; {state.model!r} is. Load it on the page, or name that one."
            )
        if state.phase == "ready" and state.text:
            raise ModelNotLoaded(
                f"The model {name[:200]!r} is not loaded, and a loader is being installed for another one. Try again "
                "when the Model tab says that it is done."
            )
        failed, error = self._failed.get(name, (0.0, None))
        if error is not None and self._clock() - failed < RETRY_SECONDS:
            raise error
        if lost:
            return
        facts = self._library.facts(name)
        if task and (why := explain_wrong_task(task, facts.name, facts.purpose, facts.architecture)):
            raise Unsupported(why)
        spec = self._models.check_load(name).spec
        if not self._environments.status(spec).installed:
            raise ModelNotLoaded(
                f"{name[:200]!r} needs {spec.title}, which is not installed, and requests install nothing. Run: "
                f"{program_name()} install {spec.name}"
            )

    def not_found(self, name: str) -> ModelNotFound:
        """Return the error for a name that is not in the models folder."""
        count = len(self._library.names())
        return ModelNotFound(f"There is no model named {name[:200]!r}. GET /v1/models lists the {count} models.")

    def confirm(self, value: object, state: ModelState) -> None:
        """Raise ModelNotLoaded if the model of `state` is not the one that the field `model` means: a person has just
        loaded it in its place."""
        name = self.resolve(value)
        if name and name != state.model and state.phase == "ready":
            raise ModelNotLoaded(f"{state.model!r} was loaded in place of {name[:200]!r}. Send the request again.")

    def load(self, name: str, stop: Callable[[], bool]) -> None:
        """Load the model `name` where it has room; "" loads the current model if its worker died.

        It is loaded beside the others if it fits, else in place of the current one as soon as no reply runs. Gives up
        without an error as soon as `stop()` is true before the load. Raises PaddockError if the load fails, or if there
        is nothing to load.
        """
        found = self._pool.find(name)
        if found is not None and (not name or self._lost(found)):
            self._reloader_of(found).ensure_loaded()
            found.supervisor.loaded()
            return
        if not self.allowed:
            (found or self._pool.current).supervisor.loaded()
        if found is None:
            self._load_new(name, lambda: stop() or self._closing.is_set())
        elif not found.ready:
            self._load_into(found, name)

    def load_beside(
        self, name: str, loader: str, settings: Mapping[str, object] | None, *, anyway: bool = False
    ) -> None:
        """Load a model beside the current one with these settings, in place of where it is loaded beside it already.

        Raises PaddockError, PlanError if it does not fit while all models that are in use stay and `anyway` is False.
        """
        if name == self._current.state.model and self._current.state.phase != "failed":
            raise ModelError(f"{name} is the current model of the page. Load another one there first.")
        place = self._new_place()
        try:
            self._models.into(place).load(name, loader, settings, anyway=anyway)
        except PaddockError:
            self._pool.remove(place)
            raise

    def load_beside_in_background(
        self, name: str, loader: str, settings: Mapping[str, object] | None, *, anyway: bool = False
    ) -> None:
        """Run `load_beside` on a new thread. The current model's state shows its failure."""

        def failed(error: PaddockError) -> None:
            self._current.state_store.show_failure(name, loader, error)

        load = partial(self.load_beside, name, loader, settings, anyway=anyway)
        host_thread("load beside", load, f"Loading {name}", failed).start()

    def _load_new(self, name: str, stop: Callable[[], bool]) -> None:
        """Load a model beside the others, or in place of the current one, as soon as one of both is possible."""
        current = self._pool.current
        # The current model is the one of the page's chats.
        beside = not generates_text(self._library.facts(name).purpose)
        with contextlib.ExitStack() as stack:
            while not stop():
                if (beside or not self._is_current_free()) and self._models.has_room_beside(name):
                    try:
                        self._load_into(self._new_place(), name)
                    except NoRoom:  # A model that was to make room is in use again: look for another place.
                        continue
                    return
                idle = set(self._pool.evictable())

                def look_again(before: set[PoolModel] = idle) -> bool:
                    """Return True to stop, or since another model has become idle, so that there may be room."""
                    return stop() or not before.issuperset(self._pool.evictable())

                if current.pinned and current.ready:
                    self._check_others_end(name, idle)
                    while not look_again():
                        self._closing.wait(_LOOK_SECONDS)
                    continue
                stack.enter_context(current.closed())
                with current.without_requests(look_again) as free:
                    if free:
                        self._load_into(current, name)
                        return

    def _is_current_free(self) -> bool:
        """Return True if there is no current model, so that a new one becomes it."""
        return self._current.state.phase in ("empty", "failed")

    def _check_others_end(self, name: str, idle: Collection[PoolModel]) -> None:
        """Raise ModelNotLoaded if all models are pinned or idle, so that waiting makes no room."""
        if all(model.pinned or model in idle for model in self._pool.others):
            raise ModelNotLoaded(
                f"{name[:200]!r} does not fit beside the loaded models, and {self._pool.current.name!r} is pinned. "
                "Unpin it on the Model tab, or unload another model."
            )

    def _new_place(self) -> PoolModel:
        place = self._pool.add(self._keep_alive)
        reloader = ModelReloader(place.supervisor, self._models.into(place).load_again)
        left = self._pool.others
        self._reloaders = {place: reloader, **{one: old for one, old in self._reloaders.items() if one in left}}
        return place

    def _load_into(self, place: PoolModel, name: str) -> None:
        try:
            self.check(name)
            with explain_errors(f"Loading {name}"):
                self._models.into(place).load(name)
        except PaddockError as error:
            if _is_failure(place, error):
                self._failed[name] = (self._clock(), error)
            if place is not self._pool.current:
                self._pool.remove(place)
            raise
        self._failed.pop(name, None)

    def restore(self, before: ModelState, name: str, error: PaddockError) -> None:
        """Load the model of `before` again, if the load of `name` ended it and failed with `error`.

        Raises PaddockError; the supervisor's state shows it.
        """
        if before.phase == "ready" and _is_failure(self._pool.current, error) and not self._closing.is_set():
            why = f"A program asked for {name}, which could not be loaded. {error.message}"
            self._models.load_again(before, reason=why)

    def close(self) -> None:
        """Begin no more loads."""
        self._closing.set()
        for reloader in list(self._reloaders.values()):
            reloader.close()

    def _reloader_of(self, model: PoolModel) -> ModelReloader:
        return self._reloader() if model is self._pool.current else self._reloaders[model]

    def _lost(self, model: PoolModel) -> bool:
        """Return True if the model's worker died and it is not loaded again yet."""
        return self._reloader_of(model).worker_died


def _is_failure(place: PoolModel, error: PaddockError) -> bool:
    """Return True if `error` ended a load that had begun, so that no model is loaded there."""
    state = place.supervisor.state
    return state.phase == "failed" and state.error is error
