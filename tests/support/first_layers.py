"""Write a GGUF file with the first layers of another one: a smaller model with the same vocabulary."""

from __future__ import annotations

import struct
from pathlib import Path

from modules.library.gguf import read_header
from modules.library.gguf_types import TENSOR_TYPES
from modules.worker.gguf.gguf_file import read_gguf

_ALIGNMENT = 32
_TYPES = {name: number for number, (name, _, _) in TENSOR_TYPES.items()}


def write_first_layers(source: Path, target: Path, layers: int) -> Path:
    """Write the model to `target`, and return it."""
    header, data = read_header(source), source.read_bytes()
    metadata = read_gguf(source, lambda kind, columns: columns).metadata
    metadata.whole(f"{header.text('general.architecture')}.block_count", layers)
    dropped = tuple(f"blk.{layer}." for layer in range(layers, 1000))
    kept = [tensor for tensor in header.tensors if not tensor.name.startswith(dropped)]
    parts, tensors, offset = [b"GGUF", struct.pack("<IQQ", 3, len(kept), len(metadata.encoded))], [], 0
    for key, value in metadata.encoded.items():
        parts += [struct.pack("<Q", len(key)), key.encode(), value]
    for tensor in kept:
        begin = header.data_offset + tensor.offset
        padded = data[begin : begin + tensor.size] + bytes(-tensor.size % _ALIGNMENT)
        parts += [struct.pack("<Q", len(tensor.name)), tensor.name.encode(), struct.pack("<I", len(tensor.shape))]
        parts.append(struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape, _TYPES[tensor.kind], offset))
        tensors.append(padded)
        offset += len(padded)
    head = b"".join(parts)
    target.write_bytes(head + bytes(-len(head) % _ALIGNMENT) + b"".join(tensors))
    return target
