"""A GGUF file as the source of another one. The host has checked the header before (modules/library/gguf.py)."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

from modules.protocol.errors import ModelError
from modules.worker.gguf.ggml import SOURCE_BYTES, TYPES
from modules.worker.gguf.safetensors_file import StoredTensor
from modules.worker.gguf.source import Metadata, SourceModel, SourceTensor

_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_NAMES = {number: name for name, number in TYPES.items()}


def read_gguf(path: Path) -> SourceModel:
    """Return the model in the file at `path`. Raises ModelError where its weights are quantized already."""
    with path.open("rb") as stream:
        data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    reader = _Reader(data)
    try:
        metadata, plain = reader.metadata()
        tensors = reader.tensors(path.name, int(plain.get("general.alignment", 32)))
    except (struct.error, IndexError, KeyError, ValueError):
        raise ModelError(f"{path.name} is damaged or cut short. Download it again.") from None
    if int(plain.get("split.count", 1)) > 1:
        raise ModelError(f"{path.name} is one part of several. Join them with llama-gguf-split --merge first.")
    name = str(plain.get("general.architecture", ""))
    heads = int(plain.get(f"{name}.attention.head_count") or 1)
    return SourceModel(
        name,
        metadata,
        tensors,
        int(plain.get(f"{name}.block_count") or 0),
        heads,
        int(plain.get(f"{name}.attention.head_count_kv") or heads),
        int(plain.get(f"{name}.expert_count") or 0),
    )


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 8
        self._tensor_count = self._number("<Q")
        self._key_count = self._number("<Q")

    def metadata(self) -> tuple[Metadata, dict[str, Any]]:
        """Return all keys as bytes, and the numbers and texts among them as values."""
        found = Metadata()
        plain: dict[str, Any] = {}
        for _ in range(self._key_count):
            key = self._text()
            begin = self._at
            kind = self._number("<I")
            if kind == _STRING:
                plain[key] = self._text()
            elif kind == _ARRAY:
                self._skip_array()
            else:
                form = {7: "<?", 6: "<f", 12: "<d"}.get(kind)
                width = _WIDTHS[kind]
                raw = self._data[self._at : self._at + width]
                plain[key] = struct.unpack(form, raw)[0] if form else int.from_bytes(raw, "little")
                self._at += width
            found.encoded[key] = bytes(self._data[begin : self._at])
        return found, plain

    def tensors(self, file: str, alignment: int) -> list[SourceTensor]:
        """Return the tensors, whose data begins behind the last header."""
        headers = []
        for _ in range(self._tensor_count):
            name = self._text()
            shape = tuple(self._number("<Q") for _ in range(self._number("<I")))[::-1]
            headers.append((name, shape, self._number("<I"), self._number("<Q")))
        base = -(-self._at // alignment) * alignment
        found = []
        for name, shape, kind, offset in headers:
            label = _NAMES.get(kind, f"type {kind}")
            if label not in SOURCE_BYTES:
                raise ModelError(
                    f"{file} is quantized already ({name} is {label}), and quantizing twice loses more than once. "
                    "Choose the original: its folder, or a GGUF file in F16, BF16 or F32."
                )
            size = SOURCE_BYTES[label]
            for extent in shape:
                size *= extent
            stored = StoredTensor(name, shape, label, self._data[base + offset : base + offset + size])
            found.append(SourceTensor(name, shape, label, stored.rows()))
        return found

    def _number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return int(value)

    def _text(self) -> str:
        length = self._number("<Q")
        text = bytes(self._data[self._at : self._at + length]).decode("utf-8", "replace")
        self._at += length
        return text

    def _skip_array(self) -> None:
        kind, length = self._number("<I"), self._number("<Q")
        if kind != _STRING:
            self._at += length * _WIDTHS[kind]
            return
        for _ in range(length):
            (size,) = struct.unpack_from("<Q", self._data, self._at)
            self._at += 8 + size
