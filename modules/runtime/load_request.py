"""Everything that one load needs, built and checked once before it begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modules.protocol.adapter_facts import AdapterFacts
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import ModelFacts
from modules.runtime.node_spread import NodeSpread

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# A LoRA adapter and its weight.
WeightedAdapter = tuple[AdapterFacts, float]


@dataclass(frozen=True)
class LoadRequest:
    """A checked request to load a model.

    `settings`: an instance of `spec.settings`; `automatic`: the values that the memory plan chose for those of its
    settings that are "auto". `variables`: environment variables of the worker, such as the consents
    given at start. `adapters`: LoRA adapters to apply before the model is ready; if the engine refuses them, the model
    runs without them and its notes say why. `notes`: sentences to add to the model's notes. `spread`: returns the other
    machines of the load when its worker starts, None for this machine alone. `renew`: returns the request with what
    follows from the memory and the machines that there are now, for a load that is repeated. Both raise PaddockError.
    """

    facts: ModelFacts
    spec: LoaderSpec
    settings: DataclassInstance
    variables: Mapping[str, str] = field(default_factory=dict)
    adapters: Sequence[WeightedAdapter] = ()
    notes: Sequence[str] = ()
    automatic: Mapping[str, object] = field(default_factory=dict)
    spread: Callable[[LoadRequest], NodeSpread | None] = lambda request: None
    renew: Callable[[LoadRequest], LoadRequest] = lambda request: request

    @property
    def used_settings(self) -> DataclassInstance:
        """The settings that the engine gets."""
        return dataclasses.replace(self.settings, **self.automatic)


def adapter_weights(adapters: Sequence[WeightedAdapter]) -> dict[str, float]:
    """Return name -> weight."""
    return {adapter.name: weight for adapter, weight in adapters}
