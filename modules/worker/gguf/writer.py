"""Writes a GGUF file of version 3 in one pass. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"""

from __future__ import annotations

import ctypes
import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from modules.families.gguf_tensor_types import TYPES
from modules.protocol.errors import ModelError
from modules.worker.engine import Report
from modules.worker.gguf.ggml import Ggml
from modules.worker.gguf.source import Metadata, SourceModel, SourceTensor

_ALIGNMENT = 32
# Numbers that one thread quantizes at once: 16 MiB of floats.
_SLAB = 1 << 22
# As many as the library reads.
_MOST_PARTS = 10_000


@dataclass(frozen=True)
class PartLimit:
    """Where a model is split into several files: at `size` bytes of tensors, or at `tensors`; 0 sets no limit."""

    size: int = 0
    tensors: int = 0


def write_gguf(
    model: SourceModel,
    kinds: Mapping[str, str],
    file: Path,
    ggml: Ggml,
    report: Report,
    threads: int,
    importance: Mapping[str, array[float]] | None = None,
    limit: PartLimit | None = None,
) -> None:
    """Write `model` to `file` with each tensor in its format of `kinds`, tensor name -> "Q4_K" and so on.

    With a `limit`, write the parts `file`-00001-of-0000N instead, as llama.cpp's gguf-split names them. Memory: a few
    slabs of one tensor at a time, whatever the model's size. Raises ModelError.
    """
    sizes = {entry.name: entry.rows * ggml.row_bytes(kinds[entry.name], entry.columns) for entry in model.tensors}
    total, done = max(1, sum(sizes.values())), 0
    parts = _parts(model.tensors, sizes, limit) if limit else [model.tensors]
    with ThreadPoolExecutor(threads, thread_name_prefix="quantize") as pool:
        for number, tensors in enumerate(parts):
            metadata, place = model.metadata, file
            if limit:
                metadata = Metadata(dict(model.metadata.encoded) if number == 0 else {})
                metadata.part(number, len(parts), len(model.tensors))
                place = file.with_name(f"{file.stem}-{number + 1:05d}-of-{len(parts):05d}.gguf")
            with place.open("wb") as out:
                out.write(_header(metadata, tensors, kinds, sizes))
                for entry in tensors:
                    kind, own = kinds[entry.name], (importance or {}).get(entry.name)
                    report(f"Writing {entry.name} as {kind}", done / total)
                    for piece in _converted(entry, kind, ggml, pool, threads, own):
                        out.write(piece)
                    out.write(bytes(-sizes[entry.name] % _ALIGNMENT))
                    done += sizes[entry.name]
                    model.release()
    report("Wrote all tensors", 1.0)


def _parts(tensors: list[SourceTensor], sizes: Mapping[str, int], limit: PartLimit) -> list[list[SourceTensor]]:
    """Return the tensors of each part, in order. A tensor that is larger than a part has a part alone."""
    parts: list[list[SourceTensor]] = [[]]
    size = 0
    for entry in tensors:
        padded = sizes[entry.name] + -sizes[entry.name] % _ALIGNMENT
        full = (limit.size and size + padded > limit.size) or (limit.tensors and len(parts[-1]) >= limit.tensors)
        if full and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(entry)
        size += padded
    if len(parts) > _MOST_PARTS:
        raise ModelError(
            f"The model would have {len(parts)} parts, and at most {_MOST_PARTS} are read. Set larger parts."
        )
    return parts


def _header(
    metadata: Metadata, tensors: list[SourceTensor], kinds: Mapping[str, str], sizes: Mapping[str, int]
) -> bytes:
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata.encoded))]
    for key, value in metadata.encoded.items():
        parts += [struct.pack("<Q", len(key.encode())), key.encode(), value]
    offset = 0
    for entry in tensors:
        name = entry.name.encode()
        # The fastest dimension comes first.
        shape = struct.pack(f"<{len(entry.shape)}Q", *reversed(entry.shape))
        parts += [struct.pack("<Q", len(name)), name, struct.pack("<I", len(entry.shape)), shape]
        parts.append(struct.pack("<IQ", TYPES[kinds[entry.name]], offset))
        offset += sizes[entry.name] + -sizes[entry.name] % _ALIGNMENT
    header = b"".join(parts)
    return header + bytes(-len(header) % _ALIGNMENT)


def _converted(
    entry: SourceTensor, kind: str, ggml: Ggml, pool: ThreadPoolExecutor, threads: int, importance: array[float] | None
) -> Iterator[bytes | memoryview]:
    """Yield the tensor's bytes in the format `kind`, slab after slab, computed by several threads."""
    # A slab holds rows of one expert, because each expert has its own importance.
    matrix = entry.shape[-2] if len(entry.shape) > 2 else entry.rows
    step = max(1, min(matrix, _SLAB // entry.columns))
    spans = [(at, min(at + step, end)) for at, end in _starts(entry.rows, matrix, step)]

    if kind == entry.kind:
        yield from (entry.read(begin, end) for begin, end in spans)
        return

    def convert(span: tuple[int, int]) -> bytes:
        begin, end = span
        raw = entry.read(begin, end)
        floats = ggml.to_floats(entry.kind, raw, (end - begin) * entry.columns)
        own = None
        if importance is not None:
            own = (ctypes.c_float * entry.columns).from_buffer(importance, begin // matrix * entry.columns * 4)
        return ggml.quantize(kind, floats, end - begin, entry.columns, own)

    for at in range(0, len(spans), threads):
        yield from pool.map(convert, spans[at : at + threads])


def _starts(rows: int, matrix: int, step: int) -> Iterable[tuple[int, int]]:
    """(first row, end of its matrix) of each slab."""
    for base in range(0, rows, matrix):
        for at in range(base, base + matrix, step):
            yield at, base + matrix
