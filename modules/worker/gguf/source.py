"""What a GGUF file is written from: metadata, and tensors that are read row by row."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import prod

# gguf_type of ggml/include/gguf.h.
_UINT16, _UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 2, 4, 5, 6, 7, 8, 9


@dataclass(frozen=True)
class SourceTensor:
    """One tensor under its GGUF name. `shape`: [..., rows, columns]; `kind`: "F32", "F16" or "BF16".

    `read(begin, end)` returns the bytes of these rows, all leading dimensions counted as rows.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    read: Callable[[int, int], bytes | memoryview]

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

    def part(self, number: int, count: int, tensors: int) -> None:
        """Say that this file is part `number`, from 0, of `count` with `tensors` in all."""
        self.encoded["split.no"] = struct.pack("<IH", _UINT16, number)
        self.encoded["split.count"] = struct.pack("<IH", _UINT16, count)
        self.encoded["split.tensors.count"] = struct.pack("<Ii", _INT32, tensors)

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
    """A model to write. `heads`, `kv_heads`, `experts`, `layers`: numbers that the rules for tensor types need.

    `mapped`: the files that the tensors are read from.
    """

    architecture: str
    metadata: Metadata
    tensors: list[SourceTensor]
    layers: int
    heads: int = 0
    kv_heads: int = 0
    experts: int = 0
    mapped: tuple[mmap.mmap, ...] = ()

    def release(self) -> None:
        """Give back the memory of what was read of the mapped files. Reading it again maps it again."""
        for mapping in self.mapped if hasattr(mmap, "MADV_DONTNEED") else ():
            mapping.madvise(mmap.MADV_DONTNEED)

    @property
    def kind(self) -> str:
        """The number format of most matrices: "F32", "F16" or "BF16"."""
        counts: dict[str, int] = {}
        for tensor in self.tensors:
            if len(tensor.shape) > 1:
                counts[tensor.kind] = counts.get(tensor.kind, 0) + prod(tensor.shape)
        return max(counts, key=lambda kind: counts[kind], default="F16")
