"""Stands for a model that has to be loaded before it can be used."""

from __future__ import annotations

from modules.protocol.errors import PaddockError
from modules.runtime.loaded_model import LoadedModel
from modules.runtime.model_state import ModelState
from modules.runtime.model_worker import ModelWorker


class ModelPending(PaddockError):
    """The model that a chat names is not loaded yet."""

    code = "model_pending"

    def __init__(self, model: str) -> None:
        super().__init__(f"{model} is not loaded yet. Send the message again when it is.")
        self.model = model


class PendingModel(LoadedModel):
    """A model that is not loaded. Every use raises ModelPending."""

    def __init__(self, name: str) -> None:
        self._state = ModelState(model=name)

    @property
    def state(self) -> ModelState:
        """The state of a model that is not loaded."""
        return self._state

    def worker(self) -> ModelWorker:
        """Raise ModelPending."""
        raise ModelPending(self._state.model)
