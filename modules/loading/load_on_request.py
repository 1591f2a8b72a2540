"""Loads the model that an API request names, in place of the loaded one, as soon as no reply runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from modules.library.scan import ModelLibrary
from modules.loading.model_loading import ModelLoading
from modules.loading.model_reloader import ModelReloader
from modules.protocol.errors import ModelError, PaddockError, SettingError
from modules.runtime.environment import Environments
from modules.runtime.model_state import ModelState
from modules.runtime.supervisor import Supervisor
from modules.system.program_name import program_name
from modules.system.threads import explain_errors

# For so long, requests for a model whose load failed get the same error, so that they do not unload another one again.
RETRY_SECONDS = 30.0


class ModelNotFound(ModelError):
    """No model in the models folder has this name."""

    code = "model_not_found"


class ModelNotLoaded(ModelError):
    """The model exists, but is not loaded, and a request may not load it now."""

    code = "model_not_loaded"


class LoadOnRequest:
    """Which model a request means, whether it may be loaded, and its load. Thread-safe; the methods block.

    `aliases`: other names of models. `allowed`: whether requests load models at all.
    """

    def __init__(
        self,
        library: ModelLibrary,
        environments: Environments,
        supervisor: Supervisor,
        models: ModelLoading,
        reloader: Callable[[], ModelReloader],
        aliases: Mapping[str, str],
        allowed: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.aliases = dict(aliases)
        self._library = library
        self._environments = environments
        self._supervisor = supervisor
        self._models = models
        self._reloader = reloader
        self._allowed = allowed
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
        if name in self.aliases and name != self._supervisor.state.model and name not in self._library.names():
            return self.aliases[name]
        return name

    def check(self, name: str) -> None:
        """Raise PaddockError if no request may load the model `name`, for any reason known before the load."""
        state = self._supervisor.state
        if state.phase == "installing":
            raise PaddockError(state.why_not_ready)
        if not name or name == state.model and (state.phase == "ready" or state.busy):
            return
        if name not in self._library.names():
            raise self.not_found(name)
        if not self._allowed:
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
        if name == self._lost_model():
            return
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

    def confirm(self, value: object) -> None:
        """Raise ModelNotLoaded if a model is loaded that the field `model` does not mean: a person has just loaded
        it."""
        name, state = self.resolve(value), self._supervisor.state
        if name and name != state.model and state.phase == "ready":
            raise ModelNotLoaded(f"{state.model!r} was loaded in place of {name[:200]!r}. Send the request again.")

    def load(self, name: str, stop: Callable[[], bool]) -> None:
        """Load the model `name` once no reply runs; "" loads the model whose worker died.

        Gives up without an error as soon as `stop()` is true before the load. Raises PaddockError if the load fails,
        or if there is nothing to load.
        """
        if not name or name == self._lost_model():
            self._reloader().ensure_loaded()
            self._supervisor.loaded()
            return
        if not self._allowed:
            self._supervisor.loaded()

        def given_up() -> bool:
            return stop() or self._closing.is_set()

        with self._supervisor.without_generations(given_up) as free:
            if not free:
                return
            try:
                self.check(name)
                with explain_errors(f"Loading {name}"):
                    self._models.load(name)
            except PaddockError as error:
                if self._is_failure(error):
                    self._failed[name] = (self._clock(), error)
                raise
            self._failed.pop(name, None)

    def restore(self, before: ModelState, name: str, error: PaddockError) -> None:
        """Load the model of `before` again, if the load of `name` ended it and failed with `error`.

        Raises PaddockError; the supervisor's state shows it.
        """
        if before.phase == "ready" and self._is_failure(error) and not self._closing.is_set():
            why = f"A program asked for {name}, which could not be loaded. {error.message}"
            self._models.load_again(before, reason=why)

    def close(self) -> None:
        """Begin no more loads."""
        self._closing.set()

    def _is_failure(self, error: PaddockError) -> bool:
        """Return True if `error` ended a load that had begun, so that no model is loaded."""
        state = self._supervisor.state
        return state.phase == "failed" and state.error is error

    def _lost_model(self) -> str:
        """Return the model whose worker died, or ""."""
        return self._supervisor.state.model if self._reloader().worker_died else ""
