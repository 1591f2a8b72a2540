"""What a GGUF file is written from: metadata, and tensors that are read row by row."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import prod
from typing import Any

# gguf_type of ggml/include/gguf.h.
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9


@dataclass(frozen=True)
class SourceTensor:
    """One tensor under its GGUF name. `shape`: [..., rows, columns]; `kind`: "F32", "F16" or "BF16".

    `read(begin, end)` returns the bytes of these rows, all leading dimensions counted as rows.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    read: Callable[[int, int], Any]

    @property
    def columns(self) -> int:
        """Numbers in a row."""
        return self.shape[-1]

    @property
    def rows(self) -> int:
        """Rows in all."""
        return prod(self.shape[:-1])

    @property
    def layer(self) -> int:
        """The number N of blk.N.…; -1 for a tensor outside the layers."""
        parts = self.name.split(".")
        return int(parts[1]) if parts[0] == "blk" and parts[1].isdigit() else -1


@dataclass
class Metadata:
    """GGUF metadata, key -> the value's type and bytes as they stand in the file. Order is kept."""

    encoded: dict[str, bytes] = field(default_factory=dict)

    def text(self, key: str, value: str) -> None:
        """Set a text."""
        self.encoded[key] = struct.pack("<I", _STRING) + _text(value)

    def whole(self, key: str, value: int) -> None:
        """Set a whole number of 32 bits, not negative."""
        self.encoded[key] = struct.pack("<II", _UINT32, value)

    def real(self, key: str, value: float) -> None:
        """Set a 32-bit float."""
        self.encoded[key] = struct.pack("<If", _FLOAT32, value)

    def flag(self, key: str, value: bool) -> None:
        """Set true or false."""
        self.encoded[key] = struct.pack("<I?", _BOOL, value)

    def texts(self, key: str, values: Iterable[str]) -> None:
        """Set a list of texts."""
        items = [_text(value) for value in values]
        self.encoded[key] = struct.pack("<IIQ", _ARRAY, _STRING, len(items)) + b"".join(items)

    def reals(self, key: str, values: list[float]) -> None:
        """Set a list of 32-bit floats."""
        self.encoded[key] = struct.pack(f"<IIQ{len(values)}f", _ARRAY, _FLOAT32, len(values), *values)

    def wholes(self, key: str, values: list[int]) -> None:
        """Set a list of 32-bit whole numbers."""
        self.encoded[key] = struct.pack(f"<IIQ{len(values)}i", _ARRAY, _INT32, len(values), *values)


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "replace")
    return struct.pack("<Q", len(data)) + data


@dataclass(frozen=True)
class SourceModel:
    """A model to write. `heads`, `kv_heads`, `experts`, `layers`: numbers that the rules for tensor types need."""

    architecture: str
    metadata: Metadata
    tensors: list[SourceTensor]
    layers: int
    heads: int = 0
    kv_heads: int = 0
    experts: int = 0

    @property
    def kind(self) -> str:
        """The number format of most matrices: "F32", "F16" or "BF16"."""
        counts: dict[str, int] = {}
        for tensor in self.tensors:
            if len(tensor.shape) > 1:
                counts[tensor.kind] = counts.get(tensor.kind, 0) + prod(tensor.shape)
        return max(counts, key=lambda kind: counts[kind], default="F16")
