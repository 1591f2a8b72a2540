"""A GGUF file as the source of another one. The host has checked the header before (modules/library/gguf.py)."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

from modules.families.gguf_tensor_types import TYPES
from modules.protocol.errors import ModelError
from modules.worker.gguf.ggml import SOURCE_BYTES
from modules.worker.gguf.source import Metadata, SourceModel, SourceTensor

_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_NAMES = {number: name for name, number in TYPES.items()}


RowBytes = Callable[[str, int], int]


def read_gguf(path: Path, row_bytes: RowBytes | None = None) -> SourceModel:
    """Return the model in the file at `path`.

    `row_bytes`: (format, columns) -> bytes of a row. Without it, raise ModelError where weights are quantized already.
    """
    metadata, plain, tensors, mapping = _read_part(path, row_bytes)
    mapped = [mapping]
    if (count := int(plain.get("split.count", 1))) > 1:
        for part in _other_parts(path, count):
            _, _, more, mapping = _read_part(part, row_bytes)
            tensors += more
            mapped.append(mapping)
    for key in [key for key in metadata.encoded if key.startswith("split.")]:
        del metadata.encoded[key]
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
        tuple(mapped),
    )


def _read_part(
    path: Path, row_bytes: RowBytes | None
) -> tuple[Metadata, dict[str, Any], list[SourceTensor], mmap.mmap]:
    try:
        with path.open("rb") as stream:
            mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        reader = _Reader(memoryview(mapping))
        metadata, plain = reader.metadata()
        return metadata, plain, reader.tensors(path.name, int(plain.get("general.alignment", 32)), row_bytes), mapping
    except (struct.error, IndexError, KeyError, ValueError):
        raise ModelError(f"{path.name} is damaged or cut short. Download it again.") from None


def _other_parts(path: Path, count: int) -> list[Path]:
    """Return the parts after the first one, `path`. Raises ModelError where one is missing."""
    ending = f"-00001-of-{count:05d}.gguf"
    if not path.name.endswith(ending):
        raise ModelError(f"{path.name} is one part of {count}. Choose the first one, whose name ends with {ending}.")
    stem = path.name.removesuffix(ending)
    found = [path.with_name(f"{stem}-{number:05d}-of-{count:05d}.gguf") for number in range(2, count + 1)]
    if missing := [part.name for part in found if not part.is_file()]:
        raise ModelError(f"{missing[0]} is missing beside {path.name}. Download it into the same folder.")
    return found


def _rows(data: memoryview, begin: int, size: int, count: int) -> Callable[[int, int], bytes | memoryview]:
    """Return a function that reads rows of `size` bytes. Raises ValueError where the file ends before the last one."""
    if begin + size * count > len(data):
        raise ValueError("cut short")
    return lambda first, end: data[begin + first * size : begin + end * size]


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

    def tensors(self, file: str, alignment: int, row_bytes: RowBytes | None) -> list[SourceTensor]:
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
            if label not in SOURCE_BYTES and row_bytes is None:
                raise ModelError(
                    f"{file} is quantized already ({name} is {label}), and quantizing twice loses more than once. "
                    "Choose the original: its folder, or a GGUF file in F16, BF16 or F32."
                )
            if label not in TYPES:
                raise ModelError(
                    f"{file} has a tensor of a type that Paddock does not read ({name} is {label}). Choose another "
                    "file of this model."
                )
            size = SOURCE_BYTES[label] * shape[-1] if row_bytes is None else row_bytes(label, shape[-1])
            found.append(SourceTensor(name, shape, label, _rows(self._data, base + offset, size, prod(shape[:-1]))))
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
