"""Chooses the loader of a model: the named one, the one used last, or the best one for this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modules.library.ranking import RankedLoader, explain_no_loader, rank_loaders
from modules.library.scan import ModelLibrary
from modules.protocol.errors import PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Machine, ModelFacts
from modules.protocol.schema import describe
from modules.runtime.load_request import LoadRequest
from modules.runtime.loader_registry import Registry
from modules.settings.user_settings import ModelSettings


class LoaderChoice:
    """The loaders on offer, and which of them a load takes.

    `machine_for`: returns the machine as a loader's variant uses it. `show_hidden`: offer loaders made for tests too.
    `aim`: returns what the proposed loader should be best at, one of AIMS.
    """

    def __init__(
        self,
        registry: Registry,
        library: ModelLibrary,
        machine_for: Callable[[LoaderSpec], Machine],
        saved: ModelSettings,
        aim: Callable[[], str],
        show_hidden: bool,
    ) -> None:
        self._registry = registry
        self._library = library
        self._machine_for = machine_for
        self._saved = saved
        self._aim = aim
        self._show_hidden = show_hidden

    def offered(self) -> list[LoaderSpec]:
        """Return the loaders on offer."""
        return [spec for spec in self._registry.specs.values() if self._show_hidden or not spec.hidden]

    def rank(self, model: str) -> tuple[ModelFacts, list[RankedLoader]]:
        """Return what the model is, and the loaders that read it, best first. Raise ModelError."""
        facts = self._library.facts(model)
        return facts, rank_loaders(facts, self.offered(), self._machine_for, self._aim())

    def explain_none(self, facts: ModelFacts, ranked: list[RankedLoader]) -> str:
        """Return why none of the loaders in `ranked`, from `rank`, can run the model; "" if one can."""
        return explain_no_loader(facts, ranked, self.offered())

    def choose(self, model: str, loader: str = "") -> tuple[LoaderSpec, dict[str, Any]]:
        """Return the loader to use (`loader`, the one used last, or the best) and its saved settings for this model.

        Raises PaddockError if no loader can run the model here.
        """
        last_used = self._saved.loader(model)
        name = loader or (last_used if last_used in self._registry.specs else "")
        if not name:
            facts, ranked = self.rank(model)
            usable = [entry for entry in ranked if entry.runs]
            if not usable:
                raise PaddockError(self.explain_none(facts, ranked))
            name = usable[0].loader
        spec = self._registry.get(name)
        # A pattern may apply to several loaders. Each takes the settings that it has.
        known = {setting.name for setting in describe(spec.settings)}
        settings = self._saved.settings(model, name)
        return spec, {key: value for key, value in settings.items() if key in known}

    def save(self, request: LoadRequest) -> None:
        """Save the loader and the settings of a load for the next one."""
        self._saved.set(request.facts.name, request.spec.name, request.settings)
