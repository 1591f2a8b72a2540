"""LoRA adapters of the loaded model: lists those that fit, applies them, and saves the choice."""

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

# With larger weights, any adapter makes a model write nonsense.
MAX_WEIGHT = 10.0


@dataclass(frozen=True)
class AdapterOffer:
    """An adapter, and a sentence why it cannot be applied to the loaded model; "" if it can."""

    adapter: AdapterFacts
    why_not: str


class AppliedAdapters:
    """Applies adapters for the page, the command line and extensions. A choice is name -> weight."""

    def __init__(self, library: ModelLibrary, registry: Registry, supervisor: Supervisor, saved: ModelSettings) -> None:
        self._library = library
        self._registry = registry
        self._supervisor = supervisor
        self._saved = saved

    def offers(self) -> list[AdapterOffer]:
        """Return all adapters, for the loaded model. Raise PaddockError if no model is loaded."""
        self._supervisor.loaded()
        spec, facts = self._loaded()
        return [AdapterOffer(adapter, _why_not(adapter, spec, facts)) for adapter in self._library.adapters()]

    def apply(self, weights: Mapping[str, float]) -> None:
        """Apply these adapters and no others to the loaded model, and save them for it; blocking.

        Raises PaddockError, and changes nothing then.
        """
        self._supervisor.loaded()
        spec, facts = self._loaded()
        self._supervisor.set_adapters(self.resolve(weights, spec, facts))
        self._saved.set_adapters(facts.name, weights)

    def resolve(self, weights: Mapping[str, float], spec: LoaderSpec, facts: ModelFacts) -> list[WeightedAdapter]:
        """Return the adapters of these names for this model with this loader.

        Raises PaddockError for an adapter that is missing or does not fit, and for a weight out of range.
        """
        if weights and not spec.adapters:
            raise Unsupported(self.unsupported_message(spec))
        found = []
        for name, weight in weights.items():
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
        """Return the adapters saved for this model that can be applied, and a sentence for each that cannot."""
        found: list[WeightedAdapter] = []
        problems = []
        for name, weight in self._saved.adapters(facts.name).items():
            try:
                found += self.resolve({name: weight}, spec, facts)
            except PaddockError as error:
                problems.append(f"The LoRA adapter {name}, saved for this model, is not applied. {error.message}")
        return found, problems

    def save(self, model: str, weights: Mapping[str, float]) -> None:
        """Apply these adapters at later loads of the model."""
        self._saved.set_adapters(model, weights)

    def unsupported_message(self, spec: LoaderSpec) -> str:
        """Return a sentence: this loader applies no adapters, and which loaders do."""
        able = [other.title for other in self._registry.shown() if other.adapters]
        return f"{spec.title} applies no LoRA adapters. Load the model with another loader: {', '.join(able)}."

    def _loaded(self) -> tuple[LoaderSpec, ModelFacts]:
        state = self._supervisor.state
        return self._registry.get(state.loader), self._library.facts(state.model)


def parse_adapters(pairs: list[str]) -> dict[str, float]:
    """Parse `NAME` and `NAME=WEIGHT` texts. Return name -> weight. Raise SettingError."""
    found = {}
    for pair in pairs:
        name, _, weight = pair.rpartition("=") if "=" in pair else (pair, "", "1")
        try:
            found[name] = float(weight)
        except ValueError:
            raise SettingError(f"--adapter takes NAME or NAME=WEIGHT, such as style=0.7, not {pair!r}.") from None
    return found


def _why_not(adapter: AdapterFacts, spec: LoaderSpec, facts: ModelFacts) -> str:
    if adapter.format in _FORMATS and adapter.format not in spec.adapters:
        formats = " or ".join(_FORMATS[kind] for kind in spec.adapters)
        return (
            f"{adapter.name} is {_FORMATS[adapter.format]}, but {spec.title} applies {formats}. Get it in that format."
        )
    return adapter_mismatch(adapter, facts)


_FORMATS = {"peft": "a PEFT folder", "gguf": "a GGUF file"}
