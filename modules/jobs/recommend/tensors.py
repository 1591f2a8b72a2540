"""The tensors of a full-precision model, by what quantization does with them. Only headers are read."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

from modules.library import gguf, safetensors
from modules.library.folder import list_folder
from modules.library.layer_matrices import Matrix, is_embedding, is_head, layer_matrix
from modules.protocol.errors import ModelError
from modules.protocol.model_facts import ModelFacts


@dataclass(frozen=True)
class ModelTensors:
    """`linear`: matrices of the layers, which every method quantizes. Numbers of weights of the others: `embedding`,
    `head` (0 where it is tied to the embedding) and `rest` (norms, biases, routers)."""

    linear: tuple[Matrix, ...]
    embedding: int
    head: int
    rest: int

    @property
    def total(self) -> int:
        """Return the number of all weights."""
        return sum(matrix.elements for matrix in self.linear) + self.embedding + self.head + self.rest


def read_model_tensors(facts: ModelFacts) -> ModelTensors:
    """Return the tensors of a model in full precision: a folder of safetensors, or a GGUF file in 16 or 32 bits.

    Raises ModelError for a model that is quantized already, or whose headers cannot be read."""
    if facts.problems:
        raise ModelError(facts.problems[0])
    if facts.format == "gguf" and facts.dtype in ("F32", "F16", "BF16"):
        header = gguf.read_header(Path(facts.path))
        return _sorted({tensor.name: tuple(reversed(tensor.shape)) for tensor in header.tensors})
    if facts.format != "safetensors":
        what = f"{facts.format.upper()} {facts.dtype}".strip() if facts.format != "pickle" else "a model of pickles"
        raise ModelError(
            f"{facts.name} is {what}, and a recommendation starts from safetensors or GGUF in 16 or 32 bits. Choose "
            "the original model."
        )
    folder, problems = list_folder(Path(facts.path)), list[str]()
    headers = safetensors.read_headers(folder.path, folder.safetensors, problems)
    if problems:
        raise ModelError(problems[0])
    return _sorted({name: info.shape for header in headers.values() for name, info in header.items()})


def _sorted(shapes: dict[str, tuple[int, ...]]) -> ModelTensors:
    linear, embedding, head, rest = list[Matrix](), 0, 0, 0
    for name, shape in shapes.items():
        elements = prod(shape)
        if is_embedding(name):
            embedding += elements
        elif is_head(name, shape):
            head += elements
        elif (matrix := layer_matrix(name, shape)) is not None:
            linear.append(matrix)
        else:
            rest += elements
    return ModelTensors(tuple(linear), embedding, head, rest)
