"""What a loader's quantizer.py implements: a class `Quantizer(QuantizerBase)`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.protocol.commands import Quantize
from modules.worker.engine import Report


@dataclass(frozen=True)
class Quantized:
    """What a quantizer reports at its end. `versions`: of the packages that did the work; `notes`: sentences."""

    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class QuantizerBase(ABC):
    """Makes quantized models in the loader's environment. It runs on the main thread of a separate worker."""

    @abstractmethod
    def quantize(self, request: Quantize, settings: Any, report: Report) -> Quantized:
        """Write the result into the folder `request.target`; `settings`: an instance of the method's class.

        Call `report(step, fraction)` often, with the fraction of the whole work from 0 to 1. Raise ModelError or
        SettingError with a sentence and a next step.
        """

    def trial(self, source: Path, settings: Any) -> float | None:
        """Return the seconds that `quantize` would compute, from a trial of a few seconds; None without one.

        A method whose quantizer has one declares `has_trial`.
        """
        return None
