"""modules.models: loading and unloading."""

from __future__ import annotations

import gc
from typing import Any

from modules.compat.facade.base import FacadeModule
from modules.compat.facade.model import Model
from modules.compat.facade.tokenizer import Tokenizer
from modules.protocol.errors import PaddockError


class Models(FacadeModule):
    """The model runs in another process, so unloading frees all of its memory."""

    def load_model(self, model_name: str, loader: object = None) -> tuple[Model | None, Tokenizer | None]:
        """Load a model with the named loader or with the best one. Raises PaddockError."""
        known = [spec.name for spec in self._app.loaders.offered() if spec.formats]
        self._app.models.load(model_name, loader if loader in known else "")
        shared: Any = self._facade.module("modules.shared")
        return shared.model, shared.tokenizer

    def unload_model(self, keep_model_name: bool = False) -> None:
        """End the worker."""
        name = self._app.supervisor.state.model
        self._app.supervisor.unload()
        shared: Any = self._facade.module("modules.shared")
        shared.model_name = name if keep_model_name and name else "None"

    def reload_model(self) -> None:
        """Load the same model again. Raises PaddockError."""
        name = self._facade.module("modules.shared").model_name
        if name == "None":
            raise PaddockError("No model is loaded, so there is none to load again. Choose one on the Model tab.")
        self.load_model(name)

    def load_model_if_idle_unloaded(self) -> None:
        """Do nothing: Paddock does not unload models automatically here."""

    def clear_torch_cache(self) -> None:
        """Free what this process holds; the engine's memory belongs to the worker."""
        gc.collect()
