"""LoRA adapters of one model of llama.cpp (llama.h: llama_adapter_lora_*, llama_set_adapters_lora)."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from modules.protocol.errors import ModelError

_WHY = re.compile(r"failed to apply lora adapter: (.+)")


class LoraAdapters:
    """The loaded adapters, and `weights`: those in use. `log` returns llama.cpp's latest messages."""

    def __init__(self, lib: ModuleType, model: Any, log: Callable[[], str]) -> None:
        self._lib = lib
        self._model = model
        self._log = log
        self._loaded: dict[str, Any] = {}
        self.weights: dict[str, float] = {}

    def load(self, paths: list[str]) -> list[str]:
        """Load the adapters that are not loaded yet, and return them. Raises ModelError without loading any."""
        fresh: list[str] = []
        for path in paths:
            if path in self._loaded:
                continue
            handle = self._lib.llama_adapter_lora_init(self._model, path.encode())
            if not handle:
                self.free(fresh)
                raise self._refusal(Path(path).name)
            self._loaded[path] = handle
            fresh.append(path)
            if self._lib.llama_adapter_get_alora_n_invocation_tokens(handle):
                self.free(fresh)
                raise ModelError(
                    f"{Path(path).name} works only after certain words of a prompt (an activated LoRA), which is not "
                    "supported. Choose another adapter."
                )
        return fresh

    def use(self, context: object, weights: dict[str, float]) -> None:
        """Use these loaded adapters in `context`, and no others."""
        active = {path: weight for path, weight in weights.items() if weight}
        handles = (self._lib.llama_adapter_lora_p_ctypes * len(active))(*(self._loaded[path] for path in active))
        scales = (ctypes.c_float * len(active))(*active.values())
        self._lib.llama_set_adapters_lora(context, handles, len(active), scales)
        self.weights = dict(weights)

    def free(self, paths: list[str]) -> None:
        """Free the memory of adapters that no context uses."""
        for path in paths:
            self._lib.llama_adapter_lora_free(self._loaded.pop(path))

    def unused(self) -> list[str]:
        """Return the loaded adapters that are not in use."""
        return [path for path in self._loaded if path not in self.weights]

    def _refusal(self, name: str) -> ModelError:
        found = _WHY.findall(self._log())
        return ModelError(
            f"The LoRA adapter {name} does not fit this model{f' ({found[-1].strip()})' if found else ''}. Load the "
            "model that it was made for, or choose another adapter.",
            detail=self._log(),
        )
