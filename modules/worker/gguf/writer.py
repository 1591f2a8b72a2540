"""Writes a GGUF file of version 3 in one pass. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from modules.worker.engine import Report
from modules.worker.gguf.ggml import SOURCE_BYTES, TYPES, Floats, Ggml
from modules.worker.gguf.source import Metadata, SourceModel, SourceTensor

_ALIGNMENT = 32
# Numbers that one thread quantizes at once: 16 MiB of floats.
_SLAB = 1 << 22


def write_gguf(
    model: SourceModel,
    kinds: dict[str, str],
    file: Path,
    ggml: Ggml,
    report: Report,
    threads: int,
    importance: dict[str, Floats] | None = None,
) -> None:
    """Write `model` to `file` with each tensor in its format of `kinds`, tensor name -> "Q4_K" and so on.

    Memory: a few slabs of one tensor at a time, whatever the model's size.
    """
    sizes = {entry.name: entry.rows * ggml.row_bytes(kinds[entry.name], entry.columns) for entry in model.tensors}
    total, done = max(1, sum(sizes.values())), 0
    with file.open("wb") as out, ThreadPoolExecutor(threads, thread_name_prefix="quantize") as pool:
        out.write(_header(model.metadata, model.tensors, kinds, sizes))
        for entry in model.tensors:
            report(f"Writing {entry.name} as {kinds[entry.name]}", done / total)
            for part in _converted(entry, kinds[entry.name], ggml, pool, threads, (importance or {}).get(entry.name)):
                out.write(part)
            out.write(bytes(-sizes[entry.name] % _ALIGNMENT))
            done += sizes[entry.name]
        out.flush()
        os.fsync(out.fileno())
    report("Wrote all tensors", 1.0)


def _header(metadata: Metadata, tensors: list[SourceTensor], kinds: dict[str, str], sizes: dict[str, int]) -> bytes:
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
    entry: SourceTensor, kind: str, ggml: Ggml, pool: ThreadPoolExecutor, threads: int, importance: Floats | None
) -> Iterator[bytes]:
    """Yield the tensor's bytes in the format `kind`, slab after slab, computed by several threads."""
    # A slab holds rows of one expert, because each expert has its own importance.
    matrix = entry.shape[-2] if len(entry.shape) > 2 else entry.rows
    step = max(1, min(matrix, _SLAB // entry.columns))
    spans = [(at, min(at + step, end)) for at, end in _starts(entry.rows, matrix, step)]

    def convert(span: tuple[int, int]) -> bytes:
        begin, end = span
        raw = entry.read(begin, end)
        if kind == entry.kind and kind in SOURCE_BYTES:
            return bytes(raw)
        floats = ggml.to_floats(entry.kind, raw, (end - begin) * entry.columns)
        own = None
        if importance is not None:
            at = begin // matrix * entry.columns
            own = (type(importance)._type_ * entry.columns)(*importance[at : at + entry.columns])
        return ggml.quantize(kind, floats, end - begin, entry.columns, own)

    for at in range(0, len(spans), threads):
        yield from pool.map(convert, spans[at : at + threads])


def _starts(rows: int, matrix: int, step: int) -> Iterable[tuple[int, int]]:
    """(first row, end of its matrix) of each slab."""
    for base in range(0, rows, matrix):
        for at in range(base, base + matrix, step):
            yield at, base + matrix
