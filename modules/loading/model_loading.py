"""Loads a model by name: checks consents, loader, settings and memory, then starts the worker."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from modules.library.purpose_text import explain_no_chat
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
from modules.protocol.schema import build
from modules.runtime.load_request import LoadRequest
from modules.runtime.model_state import ModelState
from modules.runtime.supervisor import Supervisor
from modules.system.threads import explain_errors, host_thread

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class ModelLoading:
    """Loads models for the page, the command line and the API."""

    def __init__(
        self,
        library: ModelLibrary,
        loaders: LoaderChoice,
        consents: ModelConsents,
        planner: MemoryPlanner,
        adapters: AppliedAdapters,
        supervisor: Supervisor,
    ) -> None:
        self._library = library
        self._loaders = loaders
        self._consents = consents
        self._planner = planner
        self._adapters = adapters
        self._supervisor = supervisor

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

    def check_load(self, model: str, loader: str = "", settings: Mapping[str, Any] | None = None) -> LoadRequest:
        """Return what a load of the model would do, without starting it. Raises PaddockError where it is refused."""
        return self._prepare(model, loader, settings, False)

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
            raise PaddockError(explain_no_chat(facts.name, facts.purpose, facts.architecture))
        return facts, spec, saved

    def _check(self, facts: ModelFacts, spec: LoaderSpec, settings: DataclassInstance, anyway: bool) -> LoadRequest:
        """Raise PaddockError if the loader cannot load the model here, PlanError if it does not fit into memory."""
        self._supervisor.check(facts, spec)
        if not anyway:
            self._planner.check_fits(facts, spec, settings)
        return LoadRequest(facts, spec, settings, self._consents.variables(facts, spec))

    def _run(self, request: LoadRequest, adapters: Mapping[str, float] | None, reason: str = "") -> ModelInfo:
        facts, spec = request.facts, request.spec
        if adapters is None:
            chosen, problems = self._adapters.saved(spec, facts)
        else:
            chosen, problems = self._adapters.resolve(adapters, spec, facts), []
        info = self._supervisor.load(dataclasses.replace(request, adapters=chosen, notes=problems), reason)
        self._loaders.save(request)
        if adapters is not None and self._supervisor.state.adapters == dict(adapters):
            self._adapters.save(facts.name, adapters)
        return info
