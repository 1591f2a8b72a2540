"""What a loader declares about itself, with the standard library alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.protocol.memory_demand import Demand
from modules.protocol.model_facts import UNKNOWN, Claim, Machine, ModelFacts
from modules.protocol.sampling import SamplingParams, active_samplers


@dataclass(frozen=True)
class LoaderSpec:
    """`loaders/<name>/spec.py` holds one of these as SPEC; `loaders/<name>/worker.py` holds the class Engine.

    formats: those of ModelFacts.format that it reads. accelerators: any one of these must be there ("cpu" always is).
    systems: those of Machine.system that it runs on.
    compiled: its install compiles C++.
    claim: whether it can run this model on this machine, and how well (None: cannot).
    samplers: names of SamplingParams fields that it honours, besides `sampling.ALWAYS_HONOURED`.
    differs: those of `samplers` that are other than docs/samplers.md defines them, and how, in sentences.
    unheard: where a sampler is active that silences others: its name and theirs.
    requirements: file name in the loader's folder, such as "requirements.txt"; "" means that it needs no environment of
        its own.
    probe: Python code that imports the engine and prints its version; run to verify an environment.
    logits_hooks: whether extensions' hooks on tokens and logits run in its worker.
    adapters: formats of LoRA adapters (AdapterFacts.format) that its engine applies to a loaded model.
    adapters_note: what is worth knowing before adapters are applied, in sentences.
    settings: a dataclass of `setting(...)` fields, handed to Engine.load.
    memory: what a load asks of memory, from the model's facts, an instance of `settings` and the machine. Without it
        the plan takes the weights as they are on disk, a cache in 16 bits for `context`, and little else.
    """

    name: str
    title: str
    summary: str
    formats: tuple[str, ...]
    settings: type[Any]
    claim: Callable[[ModelFacts, Machine], Claim | None]
    memory: Callable[[ModelFacts, Any, Machine], Demand] | None = None
    samplers: frozenset[str] = frozenset()
    differs: Mapping[str, str] = field(default_factory=dict)
    unheard: Mapping[str, frozenset[str]] = field(default_factory=dict)
    purposes: tuple[str, ...] = ("generate",)
    accelerators: tuple[str, ...] = ("cpu",)
    systems: tuple[str, ...] = ("linux", "darwin", "windows")
    compiled: bool = False
    requirements: str = ""
    probe: str = ""
    logits_hooks: bool = False
    adapters: tuple[str, ...] = ()
    adapters_note: str = ""
    hidden: bool = False

    def ignores(self, params: SamplingParams, unknown: Iterable[str] = ()) -> list[str]:
        """Names of the parameters in `params` that are not neutral and will not be honoured. `unknown`: those that the
        loaded model's engine does not take besides."""
        asked = active_samplers(params)
        silent = [others for name, others in self.unheard.items() if name in asked]
        return sorted((asked - self.samplers.difference(unknown)).union(*(asked & others for others in silent)))

    def problems(self, facts: ModelFacts, machine: Machine) -> tuple[str, ...]:
        """Return sentences saying why this loader cannot load the model: those of `facts.problems`, or its format.

        Where detection does not know the format, a loader that claims the model with a score knows better.
        """
        if not facts.problems and facts.format not in self.formats and self.claim(facts, machine) is None:
            return (f"{self.title} does not read the format {facts.format}. Choose another loader for this model.",)
        if facts.problems and facts.format == UNKNOWN:
            claim = self.claim(facts, machine)
            if claim and claim.runs and claim.score > 0:
                return ()
        return facts.problems

    def machine_problem(self, machine: Machine) -> str:
        """ "" if it can run on this machine, else a sentence saying why not."""
        if machine.system not in self.systems:
            names = {"linux": "Linux", "darwin": "macOS", "windows": "Windows"}
            return f"{self.title} runs on {' and '.join(names[system] for system in self.systems)} only."
        if any(machine.has(kind) for kind in self.accelerators):
            return ""
        wanted = " or ".join(kind.upper() for kind in self.accelerators)
        return f"{self.title} needs {wanted}, which this machine does not have."
