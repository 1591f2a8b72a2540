"""The matrices in a full-precision model's layers, which quantization packs, by the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_EMBEDDING = re.compile(r"(embed_tokens|wte|wpe|embed_positions|token_embd|position_embd|word_embeddings)\.weight$")
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output)\.weight$")
_ROUTER = re.compile(r"(mlp\.gate|block_sparse_moe\.gate|ffn_gate_inp|router)\.weight$")
# Mamba's convolutions have three dimensions too, and are not packed.
_CONVOLUTION = re.compile(r"conv(1d|2d)?\.weight$")
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


def is_embedding(name: str) -> bool:
    """Return True for the name of a table of embeddings."""
    return _EMBEDDING.search(name) is not None


def is_head(name: str, shape: tuple[int, ...]) -> bool:
    """Return True for the matrix that gives the logits."""
    return _HEAD.search(name) is not None and len(shape) == 2


def layer_matrix(name: str, shape: tuple[int, ...]) -> Matrix | None:
    """Return the matrix that a tensor of a layer holds.

    None for norms, biases, routers, convolutions, embeddings and the head."""
    if len(shape) not in (2, 3) or not name.endswith("weight") or is_embedding(name) or is_head(name, shape):
        return None
    if not _LAYER.search(name) or _ROUTER.search(name) or _CONVOLUTION.search(name):
        return None
    rows, columns = shape[-2:]
    if _TRANSPOSED.search(name):
        rows, columns = columns, rows
    return Matrix(name, rows, columns, shape[0] if len(shape) == 3 else 1)


def matrix_widths(shapes: Mapping[str, tuple[int, ...]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the different numbers of inputs of the layers' matrices, and those of outputs, the smallest first."""
    matrices = [matrix for name, shape in shapes.items() if (matrix := layer_matrix(name, shape))]
    return (
        tuple(sorted({matrix.columns for matrix in matrices})),
        tuple(sorted({matrix.rows for matrix in matrices})),
    )
