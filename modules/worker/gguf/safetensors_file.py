"""The tensors of a model folder, mapped into memory and read row by row, without numpy."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modules.protocol.errors import ModelError

_KINDS = {"F32": "F32", "F16": "F16", "BF16": "BF16"}
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_LONGEST_HEADER = 100 << 20


@dataclass(frozen=True)
class StoredTensor:
    """One tensor as it stands in its file: `kind` "F32", "F16" or "BF16"; `data`: all of its bytes, mapped."""

    name: str
    shape: tuple[int, ...]
    kind: str
    data: memoryview

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.shape[-1] * _BYTES[self.kind]

    def rows(self, order: Callable[[int], int] | None = None) -> Callable[[int, int], bytes | memoryview]:
        """Return a function that reads rows begin to end. `order`: row there -> row in this tensor."""
        size, data = self.row_bytes, self.data
        if order is None:
            return lambda begin, end: data[begin * size : end * size]
        return lambda begin, end: b"".join(data[row * size : (row + 1) * size] for row in map(order, range(begin, end)))

    def transposed(self) -> Callable[[int, int], bytes | memoryview]:
        """Return a function that reads rows of the transposed matrix."""
        width = self.shape[1]
        elements = self.data.cast("I" if self.kind == "F32" else "H")
        return lambda begin, end: b"".join(elements[row::width].tobytes() for row in range(begin, end))


def read_tensors(folder: Path, files: list[Path]) -> dict[str, StoredTensor]:
    """Return the tensors of these safetensors files by name. Raises ModelError for a type that is no plain float."""
    found: dict[str, StoredTensor] = {}
    for file in files:
        with file.open("rb") as stream:
            mapped = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        length = int.from_bytes(mapped[:8], "little")
        if length > min(len(mapped) - 8, _LONGEST_HEADER):
            raise ModelError(f"{file.name} of {folder.name} is damaged or cut short. Download the model again.")
        for name, entry in json.loads(bytes(mapped[8 : 8 + length])).items():
            if name == "__metadata__":
                continue
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            if entry["dtype"] not in _KINDS:
                if entry["dtype"] in ("I64", "I32", "BOOL", "U8") and len(entry["shape"]) < 2:
                    continue  # counters and masks that some models keep beside their weights
                raise ModelError(
                    f"The tensor {name} of {folder.name} has the type {entry['dtype']}, so the model is quantized "
                    "already. Choose the original, which holds its weights in 16 or 32 bits."
                )
            shape = tuple(entry["shape"]) or (1,)
            found[name] = StoredTensor(name, shape, _KINDS[entry["dtype"]], mapped[begin:end])
    return found
