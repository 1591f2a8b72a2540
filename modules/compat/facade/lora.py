"""modules.LoRA: adapters, which the engine applies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from modules.compat.facade.base import FacadeModule


class Lora(FacadeModule):
    """Names are the names of adapters in models/."""

    def add_lora_to_model(self, lora_names: str | Iterable[str]) -> None:
        """Apply these adapters, and no others, with the weight 1. Raises PaddockError if one does not fit the model, or
        the loader does not support adapters."""
        names = [lora_names] if isinstance(lora_names, str) else lora_names
        self._app.adapters.apply({str(name): 1.0 for name in names if name not in ("None", "")})

    add_lora_exllamav2 = add_lora_to_model
    add_lora_transformers = add_lora_to_model

    def get_lora_path(self, lora_name: str) -> Path:
        """Return the path of an adapter. Raises PaddockError."""
        return Path(self._app.library.adapter(str(lora_name)).path)
