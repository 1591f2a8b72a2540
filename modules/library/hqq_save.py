"""Read a folder that HQQ saved (qmodel.pt) without loading it: a pickle's opcodes are parsed, not run.

The file is torch.save's zip; its data.pkl is {layer: {"W_q": packed, "nbits", "group_size", "shape", "scale", ...}} and
{layer: {"weight": tensor, "bias"}} for layers that are not quantized. Source: HQQLinear.state_dict and
BaseHQQModel.save_quantized of hqq 0.2.8.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from modules.files.zip_errors import ZIP_ERRORS
from modules.protocol.errors import ModelError

# Even ten thousand layers need less.
_LARGEST = 32 << 20
# A StopIteration: there is no index in it.
_BROKEN: tuple[type[Exception], ...] = (*ZIP_ERRORS, StopIteration)
_KEYS = ("W_q", "nbits", "group_size", "shape", "scale", "zero", "weight", "bias")


@dataclass(frozen=True)
class HqqSave:
    """Bits and group size of most layers (0: unknown), and the number of weights, counted unpacked."""

    bits: float
    group_size: int
    parameters: int


def read_hqq_save(path: Path) -> HqqSave:
    """Read what HQQ saved at `path`. Raises ModelError if it is cut short, corrupt or something else."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next(entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl"))
            if entry.file_size > _LARGEST:
                raise ValueError(f"its index has {entry.file_size} bytes")
            with archive.open(entry) as file:
                data = file.read(_LARGEST)
        return _count(data)
    except _BROKEN as error:
        raise ModelError(
            f"{path.name} is cut short, or was not saved by HQQ. Download it again.", detail=repr(error)
        ) from error


def _count(data: bytes) -> HqqSave:
    seen: dict[str, list[int]] = {"nbits": [], "group_size": []}
    total = 0
    for key, numbers in _numbers(data):
        if key in seen:
            seen[key] += numbers[:1]
        elif key == "shape":
            total += prod(numbers)
        elif key in ("weight", "bias"):
            total += numbers[0]
    if not seen["nbits"]:
        raise ValueError("no quantized layer")
    most = {key: max(set(values), key=values.count, default=0) for key, values in seen.items()}
    return HqqSave(most["nbits"], most["group_size"], total)


def _numbers(data: bytes) -> Iterator[tuple[str, list[int]]]:
    """Yield each key of _KEYS with the numbers up to the next key or the end of a tuple.

    They are the value itself, a shape, or the elements of a tensor's storage. torch.save writes protocol 2, so memos
    are numbered.
    """
    memo: dict[int, str] = {}
    before, key = "", ""
    numbers: list[int] = []
    for opcode, argument, _ in pickletools.genops(data):
        text: str = str(argument) if opcode.name == "BINUNICODE" else ""
        if opcode.name in ("BINPUT", "LONG_BINPUT") and before:
            memo[int(argument or 0)] = before
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            text = memo.get(int(argument or 0), "")
        elif opcode.name in ("BININT", "BININT1", "BININT2", "LONG1"):
            numbers.append(int(argument or 0))
        if key and numbers and (text in _KEYS or opcode.name.startswith("TUPLE")):
            yield key, numbers
            key = ""
        if text in _KEYS:
            key, numbers = text, []
        before = text if opcode.name == "BINUNICODE" else ""
