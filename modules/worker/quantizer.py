"""What a loader's quantizer.py implements: a class `Quantizer(QuantizerBase)`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from modules.protocol.commands import Quantize, TryQuantize
from modules.worker.engine import Report


@dataclass(frozen=True)
class Quantized:
    """What a quantizer reports at its end. `versions`: of the packages that did the work; `notes`: sentences."""

    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Trial:
    """What a trial found. `seconds`: that `quantize` will compute, once the engine is imported.

    spent: seconds that the trial itself computed. held: bytes that the whole model takes beside what the trial took;
    None: not known.
    """

    seconds: float
    spent: float = 0.0
    held: int | None = None


class QuantizerBase(ABC):
    """Makes quantized models in the loader's environment. It runs on the main thread of a separate worker."""

    @abstractmethod
    def quantize(self, request: Quantize, settings: Any, report: Report) -> Quantized:
        """Write the result into the folder `request.target`; `settings`: an instance of the method's class.

        Call `report(step, fraction)` often, with the fraction of the whole work from 0 to 1. Raise ModelError or
        SettingError with a sentence and a next step.
        """

    def trial(self, request: TryQuantize, settings: Any) -> Trial | None:
        """Return how long `quantize` will take, from a trial of some seconds; None without one.

        A method whose quantizer has one declares `has_trial`.
        """
        return None
