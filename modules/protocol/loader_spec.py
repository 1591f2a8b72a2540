"""The declaration of a loader. It needs only the standard library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modules.protocol.memory_demand import Demand
from modules.protocol.model_facts import UNKNOWN, Claim, Machine, ModelFacts
from modules.protocol.quantization_method import QuantizationMethod
from modules.protocol.sampling import SamplingParams, active_samplers
from modules.protocol.variants import Variant


@dataclass(frozen=True)
class LoaderSpec:
    """`loaders/<name>/spec.py` holds one of these as SPEC; `loaders/<name>/worker.py` holds the class Engine.

    formats: values of ModelFacts.format that it reads. Empty, with `quantizers`: it loads none and needs no worker.py.
    purposes: what the models that it loads are for, values of model_facts.PURPOSES.
    accelerators: one of these must be present ("cpu" always is).
    systems: values of Machine.system that it runs on.
    compiled: installing it compiles C++.
    claim: returns whether it can run this model on this machine, and how well (None: it cannot).
    samplers: names of SamplingParams fields that it honours, besides `sampling.ALWAYS_HONOURED`.
    differs: samplers that differ from their definition in docs/samplers.md, with sentences that say how.
    unheard: a sampler -> the samplers that have no effect while it is active.
    over_nodes: returns the settings that spread a model over machines: from the model's facts, an instance of
        `settings`, and the number of cards on each machine, this one first (0: only its processor). None where the
        settings keep it on this machine. Raises SettingError if it cannot be spread so. Without it the loader uses no
        other machines.
    requirements: a file in the loader's folder, such as "requirements.txt"; "" means that it needs no environment.
    variants: builds of the engine for graphics cards, the best first. If none can be used, `requirements` is installed.
    probe: Python code that imports the engine and prints its version, to verify an environment.
    logits_hooks: True if its worker runs the hooks of extensions on tokens and logits.
    logprobs: True if its replies can come with the log-probabilities of their tokens (Generate.logprobs).
    adapters: formats of LoRA adapters (AdapterFacts.format) that its engine applies to a loaded model.
    adapters_note: sentences shown before adapters are applied.
    quantizers: ways to quantize a model in this loader's environment; `quantizer.py` beside the spec does them.
    training: settings class of LoRA training in this loader's environment; `trainer.py` beside the spec does it.
    settings: a dataclass of `setting(...)` fields, handed to Engine.load.
    memory: returns the memory that a load needs, from the model's facts, an instance of `settings` and the machine.
        Without it the plan assumes the weights as they are on disk and a 16-bit cache for `context`.
    automatic: settings that may be "auto", with the values that the memory plan tries for it: the first with which a
        quarter of the free memory is left, else the last. The engine gets that value. `memory` gets "auto" too, and
        then returns the least.
    """

    name: str
    title: str
    summary: str
    formats: tuple[str, ...]
    settings: type[Any]
    claim: Callable[[ModelFacts, Machine], Claim | None]
    memory: Callable[[ModelFacts, Any, Machine], Demand] | None = None
    automatic: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    samplers: frozenset[str] = frozenset()
    differs: Mapping[str, str] = field(default_factory=dict)
    unheard: Mapping[str, frozenset[str]] = field(default_factory=dict)
    over_nodes: Callable[[ModelFacts, Any, Sequence[int]], Mapping[str, object] | None] | None = None
    purposes: tuple[str, ...] = ("generate",)
    accelerators: tuple[str, ...] = ("cpu",)
    systems: tuple[str, ...] = ("linux", "darwin", "windows")
    compiled: bool = False
    requirements: str = ""
    variants: tuple[Variant, ...] = ()
    probe: str = ""
    logits_hooks: bool = False
    logprobs: bool = False
    adapters: tuple[str, ...] = ()
    adapters_note: str = ""
    quantizers: tuple[QuantizationMethod, ...] = ()
    training: type[Any] | None = None
    hidden: bool = False

    @property
    def only_quantizes(self) -> bool:
        """True for a loader that loads no model, but makes models for other loaders. It needs no worker.py."""
        return not self.formats and bool(self.quantizers)

    def ignores(self, params: SamplingParams, unknown: Iterable[str] = ()) -> list[str]:
        """Return the names of parameters in `params` that are not neutral and will not be honoured.

        `unknown`: further parameters that the loaded model's engine does not accept.
        """
        asked = active_samplers(params)
        without_effect = [others for name, others in self.unheard.items() if name in asked]
        return sorted((asked - self.samplers.difference(unknown)).union(*(asked & others for others in without_effect)))

    def problems(self, facts: ModelFacts, machine: Machine) -> tuple[str, ...]:
        """Return sentences saying why this loader cannot load the model: those of `facts.problems`, or its format.

        If detection does not know the format, a loader that claims the model with a score decides.
        """
        if not facts.problems and facts.format not in self.formats and self.claim(facts, machine) is None:
            return (f"{self.title} does not read the format {facts.format}. Choose another loader for this model.",)
        if facts.problems and facts.format == UNKNOWN:
            claim = self.claim(facts, machine)
            if claim and claim.runs and claim.score > 0:
                return ()
        return facts.problems

    def machine_problem(self, machine: Machine) -> str:
        """Return why it cannot run on this machine, as a sentence, or "" if it can."""
        if machine.system not in self.systems:
            names = {"linux": "Linux", "darwin": "macOS", "windows": "Windows"}
            return f"{self.title} runs on {' and '.join(names[system] for system in self.systems)} only."
        if any(machine.has(kind) for kind in self.accelerators):
            return ""
        wanted = " or ".join(kind.upper() for kind in self.accelerators)
        return f"{self.title} needs {wanted}, which this machine does not have."
