"""ggml's own functions for number formats, called through ctypes in any shared library that exports them.

Declarations: ggml/include/ggml.h of https://github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

import ctypes
from typing import Any

from modules.families.gguf_tensor_types import TYPES
from modules.protocol.errors import ModelError

# Bytes of one element of the formats that a source may have.
SOURCE_BYTES = {"F32": 4, "F16": 2, "BF16": 2}

Floats = object  # a ctypes array of c_float
_ToFloat = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class _TypeTraits(ctypes.Structure):
    """The beginning of ggml_type_traits."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.c_void_p),
    )


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
        lib.ggml_get_type_traits.restype = ctypes.POINTER(_TypeTraits)
        lib.ggml_get_type_traits.argtypes = [ctypes.c_int]
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
        """Return `count` numbers in the format `kind` as 32-bit floats, exactly."""
        floats = (ctypes.c_float * count)()
        raw = bytes(data)
        if kind == "F32":
            ctypes.memmove(floats, raw, 4 * count)
        elif kind in SOURCE_BYTES:
            convert = self._lib.ggml_fp16_to_fp32_row if kind == "F16" else self._lib.ggml_bf16_to_fp32_row
            convert(raw, floats, count)
        else:
            _ToFloat(self._lib.ggml_get_type_traits(TYPES[kind])[0].to_float)(raw, ctypes.addressof(floats), count)
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
