"""LoRA adapters of ExLlamaV2 (exllamav2/lora.py, version 0.3.2), which its linear layers hold by adapter."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from modules.protocol.errors import ModelError
from modules.worker.hf.model_files import check_safetensors

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def read_adapter(engine: Any, model: Any, folder: Path, weight: float) -> Any:
    """The adapter in `folder`, on the model's layers but not yet in use. Raises ModelError, and what ExLlamaV2 raises
    for one of another model. Its own `from_directory` would take a pickle that lies beside the safetensors."""
    if not (folder / _WEIGHTS).is_file():
        raise ModelError(f"The LoRA adapter {folder.name} has no {_WEIGHTS}. Download it again.")
    check_safetensors(folder / _WEIGHTS)
    return engine.ExLlamaV2Lora(model, str(folder / _CONFIG), str(folder / _WEIGHTS), weight)


def remove_adapters(model: Any, keep: Collection[Any]) -> None:
    """Take all others off the layers, also those of which only half was read."""
    for module in model.modules_dict.values():
        for held in (getattr(module, "lora_a_tensors", {}), getattr(module, "lora_b_tensors", {})):
            for adapter in [adapter for adapter in held if adapter not in keep]:
                del held[adapter]
    model.update_loras()
