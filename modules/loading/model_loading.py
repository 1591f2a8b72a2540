"""Loads a model by name: checks consents, loader, settings and memory, then starts the worker."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modules.library.scan import ModelLibrary
from modules.loading.applied_adapters import AppliedAdapters
from modules.loading.loader_choice import LoaderChoice
from modules.loading.lower_settings import lower_settings
from modules.loading.memory_planner import MemoryPlanner
from modules.loading.model_consents import ModelConsents
from modules.protocol.errors import PaddockError
from modules.protocol.events import ModelInfo
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import ModelFacts
from modules.protocol.model_purpose import explain_no_chat, explain_wrong_loader
from modules.protocol.schema import build
from modules.runtime.load_request import LoadRequest
from modules.runtime.model_pool import ModelPool
from modules.runtime.model_state import ModelState
from modules.runtime.pool_model import PoolModel
from modules.system.threads import explain_errors, host_thread

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class NoRoom(PaddockError):
    """There was room for a model when its load was planned, and there is none any more."""


class ModelLoading:
    """Loads models for the page, the command line and the API, into one place of the pool.

    `most`: how many models may be loaded at a time, 0 for as many as fit.
    """

    def __init__(
        self,
        library: ModelLibrary,
        loaders: LoaderChoice,
        consents: ModelConsents,
        planner: MemoryPlanner,
        adapters: AppliedAdapters,
        pool: ModelPool,
        most: int = 0,
        place: PoolModel | None = None,
    ) -> None:
        self._library = library
        self._loaders = loaders
        self._consents = consents
        self._planner = planner
        self._adapters = adapters
        self._pool = pool
        self._most = most
        self._place = place or pool.current
        self._supervisor = self._place.supervisor

    def into(self, place: PoolModel) -> ModelLoading:
        """Return what loads models into this place of the pool."""
        shared = self._library, self._loaders, self._consents, self._planner, self._adapters
        return ModelLoading(*shared, self._pool, self._most, place)

    def load(
        self,
        model: str,
        loader: str = "",
        settings: Mapping[str, object] | None = None,
        *,
        adapters: Mapping[str, float] | None = None,
        anyway: bool = False,
    ) -> ModelInfo:
        """Load a model; blocking.

        `settings` and `adapters` (LoRA, name -> weight) replace those saved for the model, and are saved if the load
        succeeds. Raises PaddockError; PlanError if the model does not fit into memory and `anyway` is False.
        """
        with explain_errors(f"Loading {model}"):
            return self._run(self._prepare(model, loader, settings, anyway), adapters)

    def check_load(self, model: str, loader: str = "", settings: Mapping[str, object] | None = None) -> LoadRequest:
        """Return what a load of the model would do, without starting it. Raises PaddockError where it is refused."""
        return self._prepare(model, loader, settings, False)

    def check_load_beside(self, model: str, loader: str, settings: Mapping[str, object]) -> LoadRequest:
        """Return a load that ends no loaded model, such as a job's, of a model that generates text.

        Raises PaddockError where it is refused.
        """
        facts, spec, _ = self._choose(model, loader)
        if why := explain_no_chat(facts.name, facts.purpose, facts.architecture):
            raise PaddockError(why)
        built = build(spec.settings, settings)
        self._planner.check_fits(facts, spec, built, ends=())
        return self._check(facts, spec, built, anyway=True)

    def has_room_beside(self, model: str) -> bool:
        """Return True if a model fits beside all that are in use. Raise PaddockError if it cannot be loaded at all."""
        request, ends = self._prepare(model, "", None, True), self._pool.evictable()
        return self._exceeds(ends) <= 0 and self._planner.fits(request, ends)

    def load_in_background(
        self, model: str, loader: str = "", settings: Mapping[str, object] | None = None, *, anyway: bool = False
    ) -> None:
        """Check a load, then run it on a new thread; the supervisor's state shows its progress and its end.

        Raises PaddockError if the check fails; a loaded model stays then.
        """
        doing = f"Loading {model}"
        try:
            with explain_errors(doing):
                request = self._prepare(model, loader, settings, anyway)
        except PaddockError as error:
            self._supervisor.state_store.show_refusal(model, loader, error)
            raise

        def failed(error: PaddockError) -> None:
            self._supervisor.state_store.show_failure(model, request.spec.name, error)

        host_thread("load", lambda: self._run(request, None), doing, failed).start()

    def load_again(self, state: ModelState, lower: Iterable[str] = (), reason: str = "") -> ModelInfo:
        """Load the model of `state` with the same settings, those in `lower` lowered (see `lower_settings`); blocking.

        `reason`: why, for the model's notes. Raises PaddockError.
        """
        if not state.model:
            raise PaddockError("No model was loaded. Choose one on the Model tab and press Load.")
        with explain_errors(f"Loading {state.model}"):
            facts, spec, _ = self._choose(state.model, state.loader)
            settings = build(spec.settings, {}) if state.settings is None else state.settings
            context = state.info.context if state.info else facts.context
            request = self._check(facts, spec, lower_settings(settings, lower, context), False)
            return self._run(request, None, reason)

    def load_lower(self) -> ModelInfo:
        """Load the model whose load failed again, with what its error names lowered. Raise PaddockError."""
        state = self._supervisor.state
        if state.phase != "failed" or not state.model or state.error is None:
            raise PaddockError("No load failed, so there is nothing to lower. Load a model on the Model tab.")
        return self.load_again(state, state.error.lower)

    def _prepare(self, model: str, loader: str, settings: Mapping[str, object] | None, anyway: bool) -> LoadRequest:
        """Return the checked request, with the settings built. Raise PaddockError."""
        facts, spec, saved = self._choose(model, loader)
        return self._check(facts, spec, build(spec.settings, saved if settings is None else settings), anyway)

    def _choose(self, model: str, loader: str) -> tuple[ModelFacts, LoaderSpec, dict[str, Any]]:
        """Return the model, its loader, and the settings saved for both. Raise PaddockError."""
        facts = self._library.facts(model)
        self._consents.check(facts)
        spec, saved = self._loaders.choose(model, loader)
        if facts.purpose and facts.purpose not in spec.purposes:
            raise PaddockError(explain_wrong_loader(spec.title, facts.name, facts.purpose, facts.architecture))
        return facts, spec, saved

    def _check(self, facts: ModelFacts, spec: LoaderSpec, settings: DataclassInstance, anyway: bool) -> LoadRequest:
        """Raise PaddockError if the loader cannot load the model here, PlanError if it does not fit into memory."""
        self._supervisor.check(facts, spec)
        if not anyway:
            self._planner.check_fits(facts, spec, settings, self._ends())
        variables = self._consents.variables(facts, spec)

        def renew(request: LoadRequest) -> LoadRequest:
            renewed = self._planner.choose_automatic(request, [self._place])
            if not anyway and renewed.automatic != request.automatic:
                self._planner.check_fits(facts, spec, settings, [self._place])
            return renewed

        return LoadRequest(facts, spec, settings, variables, spread=self._planner.nodes.spread, renew=renew)

    def _ends(self) -> list[PoolModel]:
        """Return the models that a load may end."""
        return [self._place, *(model for model in self._pool.evictable() if model is not self._place)]

    def _exceeds(self, ends: Sequence[PoolModel]) -> int:
        """Return by how many the models would be more than allowed after a load that ends these."""
        stay = [model for model in self._pool.models if model not in ends and model.supervisor.request() is not None]
        return len(stay) + 1 - self._most if self._most else 0

    def _make_room(self, request: LoadRequest) -> None:
        """Unload models beside the current one until the load fits, the longest unused first.

        If the model itself is loaded in another place, it is unloaded there.
        """
        for model in self._pool.others:
            if model.name == request.facts.name and model is not self._place:
                self._pool.remove(model)
        for model in self._pool.evictable():
            if model is self._place:
                continue
            if self._exceeds([self._place]) <= 0 and self._planner.fits(request, [self._place]):
                return
            self._pool.unload_if_idle(model)

    def _check_room(self, request: LoadRequest) -> None:
        """Raise NoRoom if there is no room beside the others: a model that was to make room may be in use again."""
        if self._exceeds([self._place]) > 0 or not self._planner.fits(request, [self._place]):
            raise NoRoom(
                f"{request.facts.name} was not loaded, since a model that was to make room for it is in use again. Try "
                "again, or unload one on the Model tab."
            )

    def _run(self, request: LoadRequest, adapters: Mapping[str, float] | None, reason: str = "") -> ModelInfo:
        facts, spec = request.facts, request.spec
        if adapters is None:
            chosen, problems = self._adapters.saved(spec, facts)
        else:
            chosen, problems = self._adapters.resolve(adapters, spec, facts), []
        self._make_room(request)
        if self._place is not self._pool.current:
            self._check_room(request)
        request = self._planner.choose_automatic(request, [self._place])
        info = self._supervisor.load(
            dataclasses.replace(request, adapters=chosen, notes=[*request.notes, *problems]), reason
        )
        self._loaders.save(request)
        if adapters is not None and self._supervisor.state.adapters == dict(adapters):
            self._adapters.save(facts.name, adapters)
        return info
