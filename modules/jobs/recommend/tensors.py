"""The tensors of a full-precision model, by what quantization does with them. Only headers are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path

from modules.library import gguf, safetensors
from modules.library.folder import list_folder
from modules.protocol.errors import ModelError
from modules.protocol.model_facts import ModelFacts

_EMBEDDING = re.compile(r"(embed_tokens|wte|wpe|embed_positions|token_embd|position_embd|word_embeddings)\.weight$")
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output)\.weight$")
_ROUTER = re.compile(r"(mlp\.gate|block_sparse_moe\.gate|ffn_gate_inp|router)\.weight$")
# GPT-2 stores its matrices as [in, out] (Conv1D).
_TRANSPOSED = re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")
_LAYER = re.compile(r"(^|\.)(layers|h|blocks|blk)\.\d+\.")


@dataclass(frozen=True)
class Matrix:
    """A matrix of a linear layer: `rows` outputs of `columns` inputs; `count` of them (experts are stored together)."""

    name: str
    rows: int
    columns: int
    count: int = 1

    @property
    def elements(self) -> int:
        """Return the number of weights."""
        return self.rows * self.columns * self.count


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
        if _EMBEDDING.search(name):
            embedding += elements
        elif _HEAD.search(name) and len(shape) == 2:
            head += elements
        elif len(shape) in (2, 3) and name.endswith("weight") and _LAYER.search(name) and not _ROUTER.search(name):
            rows, columns = shape[-2:]
            if _TRANSPOSED.search(name):
                rows, columns = columns, rows
            linear.append(Matrix(name, rows, columns, shape[0] if len(shape) == 3 else 1))
        else:
            rest += elements
    return ModelTensors(tuple(linear), embedding, head, rest)
