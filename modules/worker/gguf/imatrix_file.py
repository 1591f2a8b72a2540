"""The importance of each column of a matrix: the mean of the squares of what flows into it. Read and checked here.

Files: both forms that llama.cpp's tools/imatrix writes, read as common_imatrix_load of https://github.com/ggml-org/llama.cpp
does. A matrix of experts has one row of importances for each expert.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.protocol.errors import ModelError
from modules.worker.gguf.gguf_file import read_gguf
from modules.worker.gguf.source import Metadata, SourceModel, SourceTensor

# llama.cpp writes these only with importances.
_NEED = ("IQ3_XXS", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_M", "IQ1_S")
# ggml ends the process without them, and llama.cpp does not ask for those of these two tensors.
_NEED_ALWAYS = ("IQ2_XXS", "IQ2_XS", "IQ1_S")
_OUTSIDE = ("token_embd.weight", "output.weight")
_SUMS, _COUNTS = ".in_sum2", ".counts"


@dataclass(frozen=True)
class Importance:
    """`values`: tensor name -> one number for each column, expert after expert. `source`: of the text or the file."""

    values: Mapping[str, array[float]]
    source: str
    samples: int = 0

    def note(self, metadata: Metadata) -> None:
        """Write what llama.cpp's quantizer notes of a matrix."""
        metadata.text("quantize.imatrix.dataset", self.source)
        metadata.whole("quantize.imatrix.entries_count", len(self.values))
        metadata.whole("quantize.imatrix.chunks_count", self.samples)


def read_imatrix(path: Path) -> Importance:
    """Return the matrix in the file at `path`, as `llama-imatrix` writes it. Raises ModelError."""
    try:
        with path.open("rb") as stream:
            is_gguf = stream.read(4) == b"GGUF"
        values = _read_new(path) if is_gguf else _read_old(path.read_bytes())
    except (struct.error, ValueError, KeyError, OverflowError, MemoryError, ZeroDivisionError):
        values = {}
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}). Name another file with imatrix.") from None
    if not values:
        raise ModelError(
            f"{path.name} is no importance matrix, or is damaged. Name a file that llama-imatrix wrote (.gguf, .dat or "
            ".imatrix), or let it be computed: --set imatrix=auto"
        )
    return Importance(values, path.name)


def average(sums: array[float], counts: list[int]) -> array[float]:
    """Return the means of `sums`, which hold as many rows as there are counts; 1 for an expert that was never used."""
    width = len(sums) // len(counts)
    return array("f", (value / counts[at // width] if counts[at // width] else 1.0 for at, value in enumerate(sums)))


def _read_new(path: Path) -> dict[str, array[float]]:
    model = read_gguf(path)
    tensors = {entry.name: entry for entry in model.tensors}
    found = {}
    for name, sums in tensors.items():
        if name.endswith(_SUMS):
            plain = name.removesuffix(_SUMS)
            counts = [round(count) for count in _floats(tensors[plain + _COUNTS])]
            found[plain] = average(_floats(sums), counts)
    return found


def _floats(tensor: SourceTensor) -> array[float]:
    if tensor.kind != "F32":
        raise ValueError(tensor.kind)
    return array("f", bytes(tensor.read(0, tensor.rows)))


def _read_old(raw: bytes) -> dict[str, array[float]]:
    """(entries, then of each: name, calls, values as floats); numbers are 32-bit."""
    (entries,) = struct.unpack_from("<i", raw)
    at = 4
    found: dict[str, array[float]] = {}
    for _ in range(entries):
        (length,) = struct.unpack_from("<i", raw, at)
        name = raw[at + 4 : at + 4 + length].decode("utf-8")
        at += 4 + length
        calls, count = struct.unpack_from("<ii", raw, at)
        at += 8
        if length < 1 or count < 1 or at + 4 * count > len(raw):
            raise ValueError("cut short")
        found[name] = array("f", (value / max(1, calls) for value in struct.unpack_from(f"<{count}f", raw, at)))
        at += 4 * count
    return found


def check_importance(
    model: SourceModel, kinds: Mapping[str, str], importance: Importance | None
) -> dict[str, array[float]]:
    """Return tensor name -> importances as ggml takes them, for the tensors of `model` that have some.

    `kinds`: the types that are written. Raises ModelError for a tensor whose type needs what is missing, and for a
    matrix of another model.
    """
    values = importance.values if importance else {}
    fitting: dict[str, Any] = {}
    for tensor in model.tensors:
        own, kind = values.get(tensor.name), kinds[tensor.name]
        matrices = tensor.shape[-3] if len(tensor.shape) > 2 else 1
        if own is not None and len(own) != tensor.columns * matrices:
            if tensor.name == "token_embd.weight":  # llama.cpp passes over this one too
                own = None
            else:
                raise ModelError(
                    f"The importance matrix is of another model: it has {len(own)} numbers for {tensor.name}, which "
                    f"has {tensor.columns * matrices}. Compute one for this model: --set imatrix=auto"
                )
        if own is not None:
            if not all(map(math.isfinite, own)):
                raise ModelError(
                    f"The importance matrix has numbers for {tensor.name} that are infinite or not a number. Compute "
                    "it again: --set imatrix=auto"
                )
            fitting[tensor.name] = own
        elif kind in (_NEED if tensor.name not in _OUTSIDE else _NEED_ALWAYS):
            raise ModelError(_missing(tensor.name, kind, importance is not None))
    return fitting


def _missing(name: str, kind: str, some: bool) -> str:
    if not some:
        return (
            f"{kind} needs an importance matrix, and none was asked for ({name}). Let it be computed on calibration "
            "text: --set imatrix=auto"
        )
    if name in _OUTSIDE:
        return f"{name} cannot be {kind}, for which it needs importances that are never computed. Choose Q2_K for it."
    return (
        f"{kind} needs importances of {name}, and the matrix has none. With imatrix=auto, use longer calibration text "
        "or more samples; else choose a larger type for it (tensor_types)."
    )
