"""Writes a PEFT adapter as a GGUF file, as llama.cpp's convert_lora_to_gguf.py does. Standard library only.

A tensor `blk.3.attn_q.weight` has the halves `blk.3.attn_q.weight.lora_a` [rank, in] and `.lora_b` [out, rank].
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modules.protocol.errors import ModelError
from modules.worker.engine import Report
from modules.worker.gguf.architectures import ARCHITECTURES, Architecture, adapted_tensor
from modules.worker.gguf.ggml import SOURCE_BYTES, Ggml
from modules.worker.gguf.hyperparameters import head_counts, number
from modules.worker.gguf.safetensors_file import StoredTensor, read_tensors
from modules.worker.gguf.source import Metadata, SourceModel, SourceTensor
from modules.worker.gguf.writer import write_gguf

_WEIGHTS = "adapter_model.safetensors"
_KEY = re.compile(r"base_model\.model\.(?:transformer\.)?(.+)\.lora_([AB])\.weight")
_MERGE = "Merge it into the model instead, as a folder (--to folder) or as GGUF (--to gguf)."


class _PlainFormats(Ggml):
    """The formats F32, F16 and BF16, which need no library."""

    def __init__(self) -> None:
        """Load nothing."""

    def block(self, kind: str) -> int:
        return 1

    def row_bytes(self, kind: str, columns: int) -> int:
        return columns * SOURCE_BYTES[kind]


def write_gguf_adapter(
    adapter: Path, model: Path, base_name: str, file: Path, card: Mapping[str, object], report: Report
) -> None:
    """Write the PEFT folder `adapter`, trained on the folder `model`, as the GGUF file `file`.

    `base_name`: the model's name; `card`: goes into the metadata. Raises ModelError for what GGUF has no place for.
    """
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    first = str((config.get("architectures") or [""])[0])
    if first not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(
            f"{base_name} is a {first or 'model of unknown architecture'}, and GGUF adapters are written "
            f"for: {known}. {_MERGE}"
        )
    _check(adapter.name, settings)
    architecture = ARCHITECTURES[first]
    metadata = Metadata()
    metadata.text("general.architecture", architecture.name)
    metadata.text("general.type", "adapter")
    metadata.text("adapter.type", "lora")
    metadata.real("adapter.lora.alpha", _alpha(settings))
    metadata.text("general.name", file.stem)
    metadata.whole("general.base_model.count", 1)
    metadata.text("general.base_model.0.name", base_name)
    metadata.text("paddock.card", json.dumps(card, ensure_ascii=False))
    tensors = _tensors(adapter, architecture, *head_counts(config))
    layers = number(config, "num_hidden_layers", "n_layer")
    source = SourceModel(architecture.name, metadata, tensors, layers)
    write_gguf(source, {entry.name: entry.kind for entry in tensors}, file, _PlainFormats(), report, threads=1)


def _alpha(settings: Mapping[str, Any]) -> float:
    """Return alpha for llama.cpp, which scales by alpha / rank; rank-stabilized LoRA scales by alpha / √rank."""
    alpha, rank = float(settings.get("lora_alpha") or 0), int(settings.get("r") or 1)
    return alpha * math.sqrt(rank) if settings.get("use_rslora") else alpha


def _check(name: str, settings: Mapping[str, object]) -> None:
    labels = {
        "use_dora": "DoRA",
        "alpha_pattern": "another alpha for some layers",
        "modules_to_save": "additional whole layers",
        "trainable_token_indices": "additional tokens",
    }
    if found := [label for key, label in labels.items() if settings.get(key)]:
        raise ModelError(f"The LoRA adapter {name} has {' and '.join(found)}, which GGUF cannot hold. {_MERGE}")


def _tensors(adapter: Path, architecture: Architecture, heads: int, kv_heads: int) -> list[SourceTensor]:
    # The low-rank matrices of a Conv1D layer are stored as those of a linear layer.
    linear = dataclasses.replace(architecture, transposed=False)
    found: list[SourceTensor] = []
    unknown: list[str] = []
    for key, tensor in read_tensors(adapter, [adapter / _WEIGHTS]).items():
        match = _KEY.fullmatch(key)
        placed = match and _half(linear, match[1], match[2], tensor, heads, kv_heads)
        if placed:
            found.append(placed)
        else:
            unknown.append(key)
    if unknown or not found:
        raise ModelError(
            f"The LoRA adapter {adapter.name} changes what a GGUF adapter cannot hold, such as "
            f"{unknown[0] if unknown else 'nothing at all'}. {_MERGE}"
        )
    return found


def _half(
    architecture: Architecture, module: str, half: str, tensor: StoredTensor, heads: int, kv_heads: int
) -> SourceTensor | None:
    """Return half "A" or "B" of the adapter of `module` under its GGUF name; None for a module without one."""
    placed = adapted_tensor(architecture, f"{module}.weight", tensor, heads if half == "B" else 0, kv_heads)
    return placed and dataclasses.replace(placed, name=f"{placed.name}.lora_{half.lower()}")
