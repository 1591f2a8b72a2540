"""The state of the one worker, as all other code sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modules.protocol.errors import PaddockError
from modules.protocol.events import ModelInfo

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class ModelState:
    """What the worker is doing.

    `phase`: "empty", "installing", "starting", "loading", "ready" or "failed". `settings`: an instance of the loader's
    settings, None without a load. `text` and `fraction` (0 to 1) show progress. `error`: why the load failed.
    `adapters`: the applied LoRA adapters, name -> weight.

    In the phase "ready", `text` is the progress of an install that the next model waits for, and `error` is why that
    install failed.
    """

    phase: str = "empty"
    model: str = ""
    loader: str = ""
    settings: DataclassInstance | None = None
    info: ModelInfo | None = None
    text: str = ""
    fraction: float | None = None
    error: PaddockError | None = None
    load_seconds: float = 0.0
    adapters: dict[str, float] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """True while a load runs."""
        return self.phase in ("installing", "starting", "loading")

    @property
    def why_not_ready(self) -> str:
        """Why no model answers, with a next step."""
        why = f" {self.error.message}" if self.phase == "failed" and self.error else ""
        return _NOT_READY.get(self.phase, _BUSY) + why


_NOT_READY = {
    "empty": "No model is loaded. Choose one on the Model tab and press Load.",
    "failed": "The model is not loaded. Load it again on the Model tab.",
}
_BUSY = "The model is still loading. Wait until it is ready."
