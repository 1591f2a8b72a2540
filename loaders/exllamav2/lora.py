"""LoRA adapters of ExLlamaV2 (exllamav2/lora.py, version 0.3.2), which are stored in its linear layers."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.protocol.errors import ModelError
from modules.worker.hf.model_files import check_safetensors

if TYPE_CHECKING:
    from exllamav2 import ExLlamaV2, ExLlamaV2Lora

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def read_adapter(engine: Any, model: ExLlamaV2, folder: Path, weight: float) -> ExLlamaV2Lora:
    """Read the adapter in `folder` into the model's layers, without applying it.

    Raises ModelError, and what ExLlamaV2 raises for an adapter of another model. ExLlamaV2's `from_directory` is not
    used, since it would load a pickle beside the safetensors.
    """
    if not (folder / _WEIGHTS).is_file():
        raise ModelError(f"The LoRA adapter {folder.name} has no {_WEIGHTS}. Download it again.")
    check_safetensors(folder / _WEIGHTS)
    return engine.ExLlamaV2Lora(model, str(folder / _CONFIG), str(folder / _WEIGHTS), weight)


def remove_adapters(model: ExLlamaV2, keep: Collection[ExLlamaV2Lora]) -> None:
    """Remove all adapters except `keep` from the layers, also those that were read only in part."""
    for module in model.modules_dict.values():
        for tensors in (getattr(module, "lora_a_tensors", {}), getattr(module, "lora_b_tensors", {})):
            for adapter in [adapter for adapter in tensors if adapter not in keep]:
                del tensors[adapter]
    model.update_loras()
