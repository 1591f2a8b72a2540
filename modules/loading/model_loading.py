"""From a model's name to a running worker: facts, trust, loader, settings, and what to do when memory ran out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.library.purpose_text import explain_no_chat
from modules.library.ranking import RankedLoader, rank_loaders
from modules.library.remote_keys import KeyConsents
from modules.library.scan import ModelLibrary
from modules.library.trust import fingerprint, missing_consent
from modules.loading.applied_adapters import AppliedAdapters
from modules.loading.lower_settings import lower_settings
from modules.loading.memory_planner import MemoryPlanner
from modules.loading.own_loaders import OwnLoaders
from modules.protocol.errors import PaddockError
from modules.protocol.events import ModelInfo
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Machine, ModelFacts
from modules.protocol.schema import describe
from modules.runtime.loader_registry import Registry
from modules.runtime.memory_watch import MemoryWatch
from modules.runtime.model_state import ModelState
from modules.runtime.supervisor import Supervisor
from modules.settings.config import Config
from modules.settings.user_settings import ModelSettings
from modules.system.threads import explain_errors, host_thread

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadRequest:
    """A load that may begin: the model, who loads it, with what, and the consents that its worker is told of."""

    facts: ModelFacts
    spec: LoaderSpec
    settings: dict[str, Any]
    consents: dict[str, str]


class ModelLoading:
    """What "load this model" means, for page, command line and API alike."""

    def __init__(
        self,
        config: Config,
        machine: Machine,
        registry: Registry,
        library: ModelLibrary,
        supervisor: Supervisor,
        saved: ModelSettings,
        planner: MemoryPlanner,
        adapters: AppliedAdapters,
        aim: Callable[[], str],
        keys: KeyConsents,
        own_loaders: OwnLoaders,
    ) -> None:
        """`aim`: what the user wants the proposed loader to be best at, one of AIMS."""
        self._config = config
        self._machine = machine
        self._registry = registry
        self._library = library
        self._supervisor = supervisor
        self._saved = saved
        self._planner = planner
        self._adapters = adapters
        self._aim = aim
        self._keys = keys
        self._own_loaders = own_loaders
        supervisor.on_measured(self._learn)
        # What consent was given to at start, by fingerprint: files that change later are not what was meant.
        self._consents = {name: self._fingerprint(name) for name in (*config.trust_pickle, *config.trust_remote_code)}

    def _fingerprint(self, model: str) -> str:
        return fingerprint(Path(self._library.facts(model).path))

    def offered_loaders(self) -> list[LoaderSpec]:
        """The loaders on offer."""
        return [spec for spec in self._registry.specs.values() if self._config.show_echo or not spec.hidden]

    def rank_loaders(self, model: str) -> tuple[ModelFacts, list[RankedLoader]]:
        """What the model is, and the loaders that read it, best first."""
        facts = self._library.facts(model)
        return facts, rank_loaders(facts, self.offered_loaders(), self._machine, self._aim())

    def choose_loader(self, model: str, loader: str = "") -> tuple[LoaderSpec, dict[str, Any]]:
        """The loader to take (the named one, the one used last, or the best) and the settings kept for it."""
        kept = self._saved.loader(model)
        name = loader or (kept if kept in self._registry.specs else "")
        if not name:
            facts, ranked = self.rank_loaders(model)
            usable = [entry for entry in ranked if entry.runs]
            if not usable:
                raise PaddockError(_no_loader(facts, ranked))
            name = usable[0].loader
        spec = self._registry.get(name)
        # A pattern may hold for several loaders: each takes what it knows.
        known = {setting.name for setting in describe(spec.settings)}
        settings = self._saved.settings(model, name)
        return spec, {key: value for key, value in settings.items() if key in known}

    def load(
        self,
        model: str,
        loader: str = "",
        settings: Mapping[str, Any] | None = None,
        *,
        adapters: Mapping[str, float] | None = None,
        anyway: bool = False,
    ) -> ModelInfo:
        """Load; blocking. `settings` and `adapters` (LoRA, name -> weight) replace those kept for the model; what
        worked is kept. Raises PaddockError, a PlanError where it would not fit into memory and `anyway` is false."""
        with explain_errors(f"Loading {model}"):
            return self._load(self._checked(model, loader, settings, anyway), adapters)

    def load_in_background(
        self, model: str, loader: str = "", settings: Mapping[str, Any] | None = None, *, anyway: bool = False
    ) -> None:
        """Load on a thread of its own; the supervisor's state tells how it goes, its end included. Raises PaddockError
        where it does not come to that; a model that is loaded stays then."""
        doing = f"Loading {model}"
        try:
            with explain_errors(doing):
                wanted = self._checked(model, loader, settings, anyway)
        except PaddockError as error:
            self._supervisor.state_store.show_refusal(model, loader, error)
            raise

        def failed(error: PaddockError) -> None:
            self._supervisor.state_store.show_failure(model, wanted.spec.name, error)

        host_thread("load", lambda: self._load(wanted, None), doing, failed).start()

    def _checked(self, model: str, loader: str, settings: Mapping[str, Any] | None, anyway: bool) -> LoadRequest:
        """What to load, once nothing is known to be against it. Raises PaddockError."""
        facts = self._library.facts(model)
        code, pickles = model in self._config.trust_remote_code, model in self._config.trust_pickle
        if model in self._consents and self._consents[model] != self._fingerprint(model):
            raise PaddockError(
                f"Files of {model} that can run code have changed since Paddock started, so the consent given then "
                "does not cover them. Look at them, then start Paddock again with the same flag."
            )
        if reason := missing_consent(facts, allow_pickle=pickles, allow_code=code):
            raise PaddockError(reason)
        spec, kept = self.choose_loader(model, loader)
        if facts.purpose and facts.purpose not in spec.purposes:
            raise PaddockError(explain_no_chat(facts.name, facts.purpose, facts.architecture))
        values = dict(kept if settings is None else settings)
        self._supervisor.check(facts, spec, values)
        if not (anyway or self._config.load_anyway):
            self._planner.check_fits(model, spec, values)
        key = {**self._keys.variables(facts), **self._own_loaders.variables(spec.name)}
        consents = {"PADDOCK_TRUST_REMOTE_CODE": "1" if code else "", "PADDOCK_TRUST_PICKLE": "1" if pickles else ""}
        return LoadRequest(facts, spec, values, {**key, **{name: value for name, value in consents.items() if value}})

    def _load(self, wanted: LoadRequest, adapters: Mapping[str, float] | None) -> ModelInfo:
        facts, spec = wanted.facts, wanted.spec
        if adapters is None:
            chosen, problems = self._adapters.saved(spec, facts)
        else:
            chosen, problems = self._adapters.resolve(adapters, spec, facts), []
        info = self._supervisor.load(facts, spec, wanted.settings, wanted.consents, chosen, problems)
        self._saved.set(facts.name, spec.name, wanted.settings)
        if adapters is not None and self._supervisor.state.adapters == dict(adapters):
            self._adapters.save(facts.name, adapters)
        return info

    def load_lower(self) -> ModelInfo:
        """Load the model that failed again, with what its error names lower_settings. Raises PaddockError."""
        state = self._supervisor.state
        if state.phase != "failed" or not state.model or state.error is None:
            raise PaddockError("No load failed, so there is nothing to lower. Load a model on the Model tab.")
        spec = self._registry.get(state.loader)
        context = state.info.context if state.info else self._library.facts(state.model).context
        return self.load(state.model, state.loader, lower_settings(spec, state.settings, state.error.lower, context))

    def _learn(self, state: ModelState, watch: MemoryWatch) -> None:
        """A plan that cannot be mended is no reason for a load to fail: the files may be gone by now."""
        try:
            spec = self._registry.get(state.loader)
            device = state.info.device if state.info else ""
            self._planner.record(state.model, spec, state.settings, watch, device)
        except PaddockError as error:
            _LOG.warning("What %s takes was not kept: %s", state.model, error.message)


def _no_loader(facts: ModelFacts, ranked: list[RankedLoader]) -> str:
    if facts.problems:
        return " ".join(facts.problems)
    if facts.purpose not in ("", "generate"):
        return explain_no_chat(facts.name, facts.purpose, facts.architecture)
    if ranked:
        return f"{facts.name} cannot run on this machine: {ranked[0].reason}"
    return f"No loader reads {facts.name} (format: {facts.format}). Take a GGUF or safetensors version of this model."
