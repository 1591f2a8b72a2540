"""ggml's own functions for number formats, called through ctypes in any shared library that exports them.

Declarations: ggml/include/ggml.h of https://github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

import ctypes
from typing import Any

from modules.protocol.errors import ModelError

# ggml_type of ggml.h, as far as this room reads or writes them.
TYPES = {
    "F32": 0,
    "F16": 1,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q5_0": 6,
    "Q5_1": 7,
    "Q8_0": 8,
    "Q2_K": 10,
    "Q3_K": 11,
    "Q4_K": 12,
    "Q5_K": 13,
    "Q6_K": 14,
    "IQ2_XXS": 16,
    "IQ2_XS": 17,
    "IQ3_XXS": 18,
    "IQ1_S": 19,
    "IQ4_NL": 20,
    "IQ3_S": 21,
    "IQ2_S": 22,
    "IQ4_XS": 23,
    "IQ1_M": 29,
    "BF16": 30,
}
# Bytes of one element of the formats that a source may have.
SOURCE_BYTES = {"F32": 4, "F16": 2, "BF16": 2}

Floats = Any  # a ctypes array of c_float


class Ggml:
    """Number formats of the shared library at `path`. All methods may be called from several threads at once."""

    def __init__(self, path: str) -> None:
        lib = ctypes.CDLL(path)
        wide = ctypes.c_int64
        lib.ggml_blck_size.restype, lib.ggml_blck_size.argtypes = wide, [ctypes.c_int]
        lib.ggml_type_size.restype, lib.ggml_type_size.argtypes = ctypes.c_size_t, [ctypes.c_int]
        lib.ggml_quantize_chunk.restype = ctypes.c_size_t
        lib.ggml_quantize_chunk.argtypes = [
            *(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, wide, wide, wide, ctypes.c_void_p)
        ]
        lib.ggml_validate_row_data.restype = ctypes.c_bool
        lib.ggml_validate_row_data.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
        for name in ("ggml_fp16_to_fp32_row", "ggml_bf16_to_fp32_row"):
            getattr(lib, name).restype = None
            getattr(lib, name).argtypes = [ctypes.c_void_p, ctypes.c_void_p, wide]
        self._lib = lib

    def block(self, kind: str) -> int:
        """Return how many numbers of one row `kind` packs together."""
        return int(self._lib.ggml_blck_size(TYPES[kind]))

    def row_bytes(self, kind: str, columns: int) -> int:
        """Return the bytes of a row of `columns` numbers; the block divides them."""
        return columns // self.block(kind) * int(self._lib.ggml_type_size(TYPES[kind]))

    def to_floats(self, kind: str, data: Any, count: int) -> Floats:
        """Return `count` numbers of the source format `kind` as 32-bit floats, exactly."""
        floats = (ctypes.c_float * count)()
        raw = bytes(data)
        if kind == "F32":
            ctypes.memmove(floats, raw, 4 * count)
        else:
            convert = self._lib.ggml_fp16_to_fp32_row if kind == "F16" else self._lib.ggml_bf16_to_fp32_row
            convert(raw, floats, count)
        return floats

    def quantize(self, kind: str, floats: Floats, rows: int, columns: int, importance: Floats | None = None) -> bytes:
        """Return `rows` of `columns` floats in the format `kind`. Raises ModelError for numbers that are not finite.

        `importance`: one weight for each column, which the error of that column counts with.
        """
        size = rows * self.row_bytes(kind, columns)
        packed = ctypes.create_string_buffer(size)
        self._lib.ggml_quantize_chunk(TYPES[kind], floats, packed, 0, rows, columns, importance)
        if not self._lib.ggml_validate_row_data(TYPES[kind], packed, size):
            raise ModelError(
                "The weights hold numbers that are infinite or not a number, so they cannot be quantized. "
                "Download the model again."
            )
        return packed.raw
