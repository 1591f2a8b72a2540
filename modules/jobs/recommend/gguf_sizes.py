"""The exact size of the GGUF file that each type would make, from the source's headers."""

from __future__ import annotations

from pathlib import Path

from modules.families.gguf_quantization import NEED_IMPORTANCE
from modules.library.gguf_types import TENSOR_TYPES
from modules.protocol.model_facts import ModelFacts
from modules.worker.gguf.convert import read_source
from modules.worker.gguf.source import SourceModel
from modules.worker.gguf.tensor_types import choose_types

# Name -> (weights in a block, bytes of a block).
_BLOCKS = {name: (weights, size) for name, weights, size in TENSOR_TYPES.values()}
_ALIGNMENT = 32  # general.alignment, to which every tensor's data is padded


class GgufSizes:
    """Sizes for one model. Raises ModelError for a model that cannot be converted."""

    def __init__(self, facts: ModelFacts) -> None:
        self._model: SourceModel = read_source(Path(facts.path), facts.name, {})

    def bytes_of(self, file_type: str) -> int:
        """Return the bytes of a file of this type: tensors, their names and shapes, and the metadata."""
        types = choose_types(self._model, file_type, lambda name: _BLOCKS[name][0], file_type in NEED_IMPORTANCE)
        total = 24 + sum(12 + len(key) + len(value) for key, value in self._model.metadata.encoded.items())
        for tensor in self._model.tensors:
            weights, size = _BLOCKS[types[tensor.name]]
            data = tensor.rows * -(-tensor.columns // weights) * size
            total += -(-data // _ALIGNMENT) * _ALIGNMENT + 32 + len(tensor.name) + 8 * len(tensor.shape)
        return total
