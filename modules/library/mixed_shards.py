"""Check that files of weights belong to one model, since people mix shards of two downloads in one folder."""

from __future__ import annotations

import re
from collections.abc import Mapping

from modules.library.folder import ModelFolder
from modules.library.safetensors import TensorInfo, read_index

# Their size is the hidden size in every architecture that uses these names. Vision towers use other names.
_NORM = re.compile(r"model\.layers\.\d+\.(input|post_attention)_layernorm\.weight")
_NEXT = "Shards of different models are mixed. Delete them, and download the folder again."


def find_mixed_shards(headers: Mapping[str, Mapping[str, TensorInfo]], folder: ModelFolder, hidden: int) -> str:
    """Return a sentence if the files belong to different models, else "".

    `headers` maps each file of the model to its tensors. `hidden` is the hidden size in the configuration (0: unknown).
    Raises ModelError for an unusable index.
    """
    holders: dict[str, str] = {}
    for file, tensors in headers.items():
        for name, info in tensors.items():
            if name in holders:
                return f"Both {holders[name]} and {file} hold the tensor {name}. {_NEXT}"
            holders[name] = file
            if hidden and _NORM.fullmatch(name) and info.shape != (hidden,):
                shape = " × ".join(map(str, info.shape))
                return f"{file} belongs to another model: its {name} has {shape} numbers, not {hidden}. {_NEXT}"
    if "model.safetensors.index.json" in folder.files:
        for name, file in read_index(folder.path / "model.safetensors.index.json").items():
            if holders.get(name) != file:
                return f"model.safetensors.index.json says that {file} holds {name}, which it does not. {_NEXT}"
    return ""
