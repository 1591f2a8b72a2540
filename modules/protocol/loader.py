"""What a loader declares about itself, with the standard library alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modules.protocol.model import Claim, Machine, ModelFacts


@dataclass(frozen=True)
class LoaderSpec:
    """`loaders/<name>/spec.py` holds one of these as SPEC; `loaders/<name>/worker.py` holds the class Engine.

    formats: those of ModelFacts.format that it reads. accelerators: any one of these must be there ("cpu" always is).
    claim: whether it can run this model on this machine, and how well (None: cannot).
    samplers: names of SamplingParams fields that it honours, besides `sampling.UNIVERSAL`.
    requirements: file name in requirements/; "" means that it needs no environment of its own.
    probe: Python code that imports the engine and prints its version; run to verify an environment.
    logits_hooks: whether extensions' hooks on tokens and logits run in its worker.
    settings: a dataclass of `setting(...)` fields, handed to Engine.load.
    """

    name: str
    title: str
    summary: str
    formats: tuple[str, ...]
    settings: type[Any]
    claim: Callable[[ModelFacts, Machine], Claim | None]
    samplers: frozenset[str] = frozenset()
    accelerators: tuple[str, ...] = ("cpu",)
    requirements: str = ""
    probe: str = ""
    logits_hooks: bool = False
    hidden: bool = False

    def runs_here(self, machine: Machine) -> str:
        """ "" if it can run on this machine, else a sentence saying why not."""
        if any(machine.has(kind) for kind in self.accelerators):
            return ""
        wanted = " or ".join(kind.upper() for kind in self.accelerators)
        return f"{self.title} needs {wanted}, which this machine does not have."
