"""Whether files of weights belong to one model: people put shards of two downloads into one folder."""

from __future__ import annotations

import re
from collections.abc import Mapping

from modules.library.folder import ModelFolder
from modules.library.safetensors import TensorInfo, read_index

# As wide as the model in every architecture that has them under these names; towers for images have others.
_NORM = re.compile(r"model\.layers\.\d+\.(input|post_attention)_layernorm\.weight")
_NEXT = "Shards of different models are mixed: delete them, and download the folder again."


def find_mixed_shards(headers: Mapping[str, Mapping[str, TensorInfo]], folder: ModelFolder, hidden: int) -> str:
    """ "" if nothing speaks against it, else a sentence. `headers`: file -> its tensors, all files of the model;
    `hidden`: the width that the configuration names, 0 if it names none. Raises ModelError for an index that is none.
    """
    holders: dict[str, str] = {}
    for file, tensors in headers.items():
        for name, info in tensors.items():
            if name in holders:
                return f"Both {holders[name]} and {file} hold the tensor {name}. {_NEXT}"
            holders[name] = file
            if hidden and _NORM.fullmatch(name) and info.shape != (hidden,):
                shape = " × ".join(map(str, info.shape))
                return f"{file} is of another model: its {name} has {shape} numbers, not {hidden}. {_NEXT}"
    if "model.safetensors.index.json" in folder.files:
        for name, file in read_index(folder.path / "model.safetensors.index.json").items():
            if holders.get(name) != file:
                return f"model.safetensors.index.json says that {file} holds {name}, which it does not. {_NEXT}"
    return ""
