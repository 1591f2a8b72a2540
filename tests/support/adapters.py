"""LoRA adapters of zeros, written in a millisecond, for the model that tests.support.models writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.library.writers import gguf_bytes, safetensors_bytes, write_json

_BASE = "base_model.model.model.layers"
GGUF_METADATA = {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"}


def write_peft_adapter(folder: Path, hidden: int = 8, layers: int = 2, **config: Any) -> Path:
    """Write a PEFT folder for a model of that width and depth, and return it."""
    folder.mkdir(parents=True)
    known = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": "maker/base"}
    write_json(folder / "adapter_config.json", {**known, **config})
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for layer in range(layers):
        for module, width in (("mlp.down_proj", 3 * hidden), ("self_attn.q_proj", hidden)):
            tensors[f"{_BASE}.{layer}.{module}.lora_A.weight"] = ("F16", (4, width))
            tensors[f"{_BASE}.{layer}.{module}.lora_B.weight"] = ("F16", (hidden, 4))
    (folder / "adapter_model.safetensors").write_bytes(safetensors_bytes(tensors))
    return folder


def write_gguf_adapter(path: Path, hidden: int = 8, layers: int = 2) -> Path:
    """Write the same adapter as a GGUF file, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors: list[tuple[str, tuple[int, ...], int]] = []
    for layer in range(layers):
        for module, width in (("ffn_down", 3 * hidden), ("attn_q", hidden)):
            tensors.append((f"blk.{layer}.{module}.weight.lora_a", (width, 4), 0))
            tensors.append((f"blk.{layer}.{module}.weight.lora_b", (4, hidden), 0))
    path.write_bytes(gguf_bytes(GGUF_METADATA, tensors))
    return path
