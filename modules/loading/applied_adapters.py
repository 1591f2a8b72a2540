"""LoRA adapters for the model at hand: which there are, which fit, which are applied, and which are kept for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modules.library.adapter_files import adapter_mismatch
from modules.library.scan import ModelLibrary
from modules.protocol.adapter_facts import AdapterFacts
from modules.protocol.errors import PaddockError, SettingError, Unsupported
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import ModelFacts
from modules.runtime.load_request import WeightedAdapter
from modules.runtime.loader_registry import Registry
from modules.runtime.supervisor import Supervisor
from modules.settings.user_settings import ModelSettings

# Beyond it, text falls apart with any adapter.
MAX_WEIGHT = 10.0


@dataclass(frozen=True)
class AdapterOffer:
    """An adapter, and why it cannot be applied to the model as it is loaded, as a sentence; "" if it can."""

    adapter: AdapterFacts
    why_not: str


class AppliedAdapters:
    """What "apply these adapters" means, for page and command line alike. Every choice is name -> weight."""

    def __init__(self, library: ModelLibrary, registry: Registry, supervisor: Supervisor, saved: ModelSettings) -> None:
        self._library = library
        self._registry = registry
        self._supervisor = supervisor
        self._saved = saved

    def offers(self) -> list[AdapterOffer]:
        """Every adapter there is, for the model that is loaded. Raises PaddockError if none is."""
        self._supervisor.loaded()
        spec, facts = self._loaded()
        return [AdapterOffer(adapter, _why_not(adapter, spec, facts)) for adapter in self._library.adapters()]

    def apply(self, wanted: Mapping[str, float]) -> None:
        """Apply these to the loaded model, and no others, and keep them for it; blocking. Raises PaddockError; nothing
        has changed then."""
        self._supervisor.loaded()
        spec, facts = self._loaded()
        self._supervisor.set_adapters(self.resolve(wanted, spec, facts))
        self._saved.set_adapters(facts.name, wanted)

    def resolve(self, wanted: Mapping[str, float], spec: LoaderSpec, facts: ModelFacts) -> list[WeightedAdapter]:
        """The adapters of these names for this model with this loader. Raises PaddockError for one that is not there or
        does not fit, and for a senseless weight."""
        if wanted and not spec.adapters:
            raise Unsupported(self.unsupported_message(spec))
        found = []
        for name, weight in wanted.items():
            if not abs(weight) <= MAX_WEIGHT:
                raise SettingError(
                    f"The weight of {name} cannot be {weight:g}. Choose one from {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}."
                )
            adapter = self._library.adapter(name)
            if why_not := _why_not(adapter, spec, facts):
                raise PaddockError(why_not)
            found.append((adapter, weight))
        return found

    def saved(self, spec: LoaderSpec, facts: ModelFacts) -> tuple[list[WeightedAdapter], list[str]]:
        """Those kept for this model that can be applied, and a sentence for each that cannot."""
        found: list[WeightedAdapter] = []
        problems = []
        for name, weight in self._saved.adapters(facts.name).items():
            try:
                found += self.resolve({name: weight}, spec, facts)
            except PaddockError as error:
                problems.append(f"The LoRA adapter {name}, kept for this model, is not applied. {error.message}")
        return found, problems

    def save(self, model: str, wanted: Mapping[str, float]) -> None:
        """Apply these whenever the model is loaded."""
        self._saved.set_adapters(model, wanted)

    def unsupported_message(self, spec: LoaderSpec) -> str:
        """That this loader applies none, and which do."""
        able = [other.title for other in self._registry.shown() if other.adapters]
        return f"{spec.title} applies no LoRA adapters. Load the model with another loader: {', '.join(able)}."

    def _loaded(self) -> tuple[LoaderSpec, ModelFacts]:
        state = self._supervisor.state
        return self._registry.get(state.loader), self._library.facts(state.model)


def parse_adapters(pairs: list[str]) -> dict[str, float]:
    """`NAME` and `NAME=WEIGHT` texts -> name -> weight. Raises SettingError."""
    found = {}
    for pair in pairs:
        name, _, weight = pair.rpartition("=") if "=" in pair else (pair, "", "1")
        try:
            found[name] = float(weight)
        except ValueError:
            raise SettingError(f"--adapter wants NAME or NAME=WEIGHT, such as style=0.7, not {pair!r}.") from None
    return found


def _why_not(adapter: AdapterFacts, spec: LoaderSpec, facts: ModelFacts) -> str:
    if adapter.format in _FORMATS and adapter.format not in spec.adapters:
        wanted = " or ".join(_FORMATS[kind] for kind in spec.adapters)
        return f"{adapter.name} is {_FORMATS[adapter.format]}, and {spec.title} applies {wanted}. Get it in that form."
    return adapter_mismatch(adapter, facts)


_FORMATS = {"peft": "a PEFT folder", "gguf": "a GGUF file"}
