"""Read the headers of untrusted safetensors files and of their index.

Format: https://github.com/huggingface/safetensors (8 bytes of header length, a JSON header, the tensors without gaps).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TypeGuard

from modules.library.json_files import parse_object, read_object
from modules.library.sizes import TruncatedFileError, truncated_file_error
from modules.protocol.errors import ModelError

# The format allows 100 MB, for which Python needs ten times the memory. The largest real headers are below 20 MB.
MAX_HEADER = 32 << 20

# Limits for one file and for a whole model. The largest real models have about 150,000 tensors.
MAX_TENSORS = 131_072
MAX_OF_A_MODEL = 400_000

# Bits of one element, by the names of the format.
BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


@dataclass(frozen=True)
class TensorInfo:
    """One tensor: `kind` such as "BF16", `size` in bytes."""

    shape: tuple[int, ...]
    kind: str
    size: int

    @property
    def elements(self) -> int:
        """The number of elements. An element of packed weights holds several weights."""
        return prod(self.shape)


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Return tensor name -> TensorInfo. Raises ModelError for a file that is cut short or corrupt."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            if len(prefix) < 8:
                raise _ends_in_header(path.name, size)
            length = struct.unpack("<Q", prefix)[0]
            if length > MAX_HEADER:
                raise _corrupt(path.name, f"it claims a header of {length} bytes")
            if 8 + length > size:
                raise _ends_in_header(path.name, size)
            raw = file.read(length)
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error.strerror}). Check its permissions.") from error
    # Checked before parsing; checked again below, for names that are written in another way.
    if raw.count(b'"dtype"') > MAX_TENSORS:
        raise _too_many(path.name, MAX_TENSORS)
    header = parse_object(raw, f"The header of {path.name}")
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise _too_many(path.name, MAX_TENSORS)
    spans = {name: _span(path.name, name, entry) for name, entry in header.items()}
    end = 0
    for name, (begin, stop, _) in sorted(spans.items(), key=lambda item: item[1][:2]):
        if begin != end:
            raise _corrupt(path.name, f"the tensor {name!r} does not begin where the one before it ends")
        end = stop
    if 8 + length + end > size:
        raise truncated_file_error(path.name, 8 + length + end, size)
    if 8 + length + end < size:
        raise _corrupt(path.name, f"it has {size - 8 - length - end} bytes more than its header describes")
    return {name: info for name, (_, _, info) in spans.items()}


def _span(file: str, name: str, entry: object) -> tuple[int, int, TensorInfo]:
    """Return (begin, end, TensorInfo) of one entry of the header."""
    if not isinstance(entry, dict):
        raise _corrupt(file, f"the entry {name!r} is not an object")
    kind, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(kind, str) or not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
        raise _corrupt(file, f"the entry {name!r} lacks a type, a shape or offsets that make sense")
    begin, end = offsets
    info = TensorInfo(tuple(shape), kind, end - begin)
    if begin > end or len(shape) > 32 or info.elements > 2**56:
        raise _corrupt(file, f"the tensor {name!r} has a shape or offsets that cannot be")
    if kind in BITS and info.elements * BITS[kind] != info.size * 8:
        raise _corrupt(file, f"the tensor {name!r} does not have the size of its shape")
    return begin, end, info


def _naturals(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


def read_headers(folder: Path, files: Iterable[str], problems: list[str]) -> dict[str, dict[str, TensorInfo]]:
    """Return file -> its tensors. Files that cannot be read, and too many tensors, are added to `problems`."""
    headers: dict[str, dict[str, TensorInfo]] = {}
    left = MAX_OF_A_MODEL
    for file in files:
        try:
            headers[file] = read_header(folder / file)
        except ModelError as error:
            problems.append(error.message)
            continue
        left -= len(headers[file])
        if left < 0:
            problems.append(_too_many(folder.name, MAX_OF_A_MODEL).message)
            break
    return headers


def _ends_in_header(name: str, size: int) -> TruncatedFileError:
    return TruncatedFileError(
        f"The file {name} is cut short: it ends inside its header, after {size} bytes. Download it again."
    )


def _too_many(name: str, most: int) -> ModelError:
    return ModelError(f"{name} names more than {most:,} tensors, which no real model does. Do not use this model.")


def _corrupt(name: str, what: str) -> ModelError:
    return ModelError(f"{name} is corrupt: {what}. Download it again.")


def files_in_index(index: Path) -> list[str]:
    """Return the files that an index (*.index.json) names, sorted. Raises ModelError for a name outside the folder."""
    return sorted(set(read_index(index).values()))


def read_index(index: Path) -> dict[str, str]:
    """Return tensor name -> the file that holds it. Raises ModelError as `files_in_index` does."""
    weight_map = read_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"{index.name} names no weights. Download it again.")
    if len(weight_map) > MAX_OF_A_MODEL:
        raise _too_many(index.name, MAX_OF_A_MODEL)
    for name in weight_map.values():
        if not isinstance(name, str) or not name or name in (".", "..") or any(letter in name for letter in "/\\:\0"):
            raise ModelError(
                f"{index.name} names a file outside the folder ({str(name)[:100]!r}). Do not use this model; "
                "download it from a source you trust."
            )
    return weight_map
