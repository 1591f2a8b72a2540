"""The bytes that each method's result stores, from the shapes of the tensors.

What is not quantized (embeddings, head, norms) stays in 16 bits. File headers, a few kilobytes, are not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from modules.jobs.recommend.tensors import ModelTensors
from modules.library.layer_matrices import Matrix


def _with_matrices(tensors: ModelTensors, matrix_bytes: Callable[[Matrix], float], head_bits: float = 16) -> int:
    """Return the bytes of all tensors. `matrix_bytes`: of one matrix of a layer with its scales."""
    packed = sum(matrix_bytes(matrix) * matrix.count for matrix in tensors.linear)
    return round(packed + (tensors.embedding + tensors.rest) * 2 + tensors.head * head_bits / 8)


def full_bytes(tensors: ModelTensors, bits: float) -> int:
    """Return the bytes of the model with `bits` bits in each weight."""
    return round(tensors.total * bits / 8)


def gptq_bytes(tensors: ModelTensors, bits: int, group_size: int) -> int:
    """GPTQ: words of 32 bits along the inputs, a scale in 16 bits and a zero point for each group and output, and the
    group of each input (g_idx) in 32 bits."""

    def size(matrix: Matrix) -> float:
        groups = 1 if group_size <= 0 else ceil(matrix.columns / group_size)
        words = ceil(matrix.columns * bits / 32) * matrix.rows + groups * ceil(matrix.rows * bits / 32)
        return words * 4 + groups * matrix.rows * 2 + matrix.columns * 4

    return _with_matrices(tensors, size)


def awq_bytes(tensors: ModelTensors, group_size: int) -> int:
    """AWQ: eight weights of 4 bits in a word, with a scale in 16 bits and a zero point for each group and output."""

    def size(matrix: Matrix) -> float:
        groups = ceil(matrix.columns / group_size)
        return matrix.columns * matrix.rows / 2 + groups * matrix.rows * (2 + 0.5)

    return _with_matrices(tensors, size)


def nf4_bytes(tensors: ModelTensors, double_quant: bool = True) -> int:
    """bitsandbytes in 4 bits: blocks of 64 with a maximum in 32 bits, or in 8 with one of 32 bits for 256 of them."""

    def size(matrix: Matrix) -> float:
        blocks = ceil(matrix.rows * matrix.columns / 64)
        scales = blocks + ceil(blocks / 256) * 4 + 256 * 4 if double_quant else blocks * 4
        return ceil(matrix.rows * matrix.columns / 2) + scales + 16 * 4

    return _with_matrices(tensors, size)


def int8_bytes(tensors: ModelTensors) -> int:
    """bitsandbytes in 8 bits (LLM.int8()): a scale in 32 bits for each output."""
    return _with_matrices(tensors, lambda matrix: matrix.rows * matrix.columns + matrix.rows * 4)


def hqq_bytes(tensors: ModelTensors, bits: int, group_size: int) -> int:
    """HQQ: a scale and a zero point in 32 bits for each group. 3 bits are stored ten in a word of 32."""
    stored = 3.2 if bits == 3 else bits
    return _with_matrices(tensors, lambda matrix: matrix.rows * matrix.columns * (stored / 8 + 8 / group_size))


def w8a8_bytes(tensors: ModelTensors) -> int:
    """compressed-tensors with weights in int8: a scale in 16 bits for each output."""
    return _with_matrices(tensors, lambda matrix: matrix.rows * matrix.columns + matrix.rows * 2)


def exl_bytes(tensors: ModelTensors, bits: float, head_bits: int = 6) -> int:
    """EXL2 and EXL3: `bits` on average, scales included; the head has `head_bits`."""
    return _with_matrices(tensors, lambda matrix: matrix.rows * matrix.columns * bits / 8, head_bits)
