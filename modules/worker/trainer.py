"""What a loader's trainer.py implements: a class `Trainer(TrainerBase)`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from modules.protocol.commands import Merge, Train
from modules.worker.engine import Report


@dataclass(frozen=True)
class Trained:
    """How a training ended, with the fields of the Result that `Train` describes."""

    steps: int
    losses: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    samples: list[dict[str, object]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Merged:
    """How a merge ended. `versions`: of the packages that did the work; `notes`: sentences."""

    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class TrainerBase(ABC):
    """Trains and merges LoRA adapters in the loader's environment. It runs on the main thread of a separate worker."""

    @abstractmethod
    def train(self, request: Train, settings: Any, report: Report) -> Trained:
        """Write the adapter into the folder `request.target`; `settings`: an instance of `LoaderSpec.training`.

        Call `report(step, fraction)` often, with the fraction of the whole work from 0 to 1. Raise ModelError or
        SettingError with a sentence and a next step.
        """

    @abstractmethod
    def merge(self, request: Merge, report: Report) -> Merged:
        """Write the model with the adapter's weights added into the folder `request.target`; otherwise as `train`."""
