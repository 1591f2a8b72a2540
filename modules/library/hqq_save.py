"""What a folder that HQQ itself saved holds (qmodel.pt), without loading it: a pickle's opcodes are read, none is run.

The file is torch.save's zip; its data.pkl is {layer: {"W_q": packed, "nbits", "group_size", "shape", "scale", ...}} and
{layer: {"weight": whole, "bias"}} for what is not quantized. Source: HQQLinear.state_dict and
BaseHQQModel.save_quantized of hqq 0.2.8.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from modules.protocol.errors import ModelError

# Of a model with ten thousand layers it is below this.
_LARGEST = 32 << 20
_KEYS = ("W_q", "nbits", "group_size", "shape", "scale", "zero", "weight", "bias")


@dataclass(frozen=True)
class HqqSave:
    """Bits and group size of most layers (0: not said), and how many weights there are, packed ones unpacked."""

    bits: float
    group_size: int
    parameters: int


def read_hqq_save(path: Path) -> HqqSave:
    """Raises ModelError: cut short, corrupt, or nothing that HQQ saved."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next(entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl"))
            if entry.file_size > _LARGEST:
                raise ValueError(f"its index has {entry.file_size} bytes")
            with archive.open(entry) as file:
                data = file.read(_LARGEST)
        return _count(data)
    except (OSError, ValueError, LookupError, StopIteration, RuntimeError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path.name} is cut short, or nothing that HQQ saved. Download it again.", detail=repr(error)
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
    """Each key of _KEYS with the numbers between it and the next key or the end of a tuple: the value itself, a shape,
    or of a tensor the elements of its storage. torch.save writes protocol 2, so memos are numbered."""
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
