"""Write a GGUF file with the weights of another one and a vocabulary that differs from its."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from modules.library.gguf import read_header
from modules.library.gguf_types import TENSOR_TYPES
from modules.worker.gguf.gguf_file import read_gguf
from tests.library.writers import gguf_text, gguf_value

_ALIGNMENT = 32
_TYPES = {name: number for number, (name, _, _) in TENSOR_TYPES.items()}
_TOKENS = "tokenizer.ggml.tokens"
_WIDE = ("token_embd.weight", "output.weight")
_USER_DEFINED, _UNUSED = 4, 5


def extra_token(number: int) -> str:
    """Return the name of a token that is added."""
    return f"<extra_{number}>"


def write_changed_vocabulary(
    source: Path,
    target: Path,
    more: int = 0,
    names: dict[int, str] | None = None,
    unused: bool = False,
    **values: Any,
) -> Path:
    """Write the model to `target`, and return it.

    `more`: tokens that are added at the end; their weights are zeros. `unused`: these are marked as unused. `names`:
    names of tokens, by id, that take the place of the model's. `values`: keys of the tokenizer, such as `bos_token_id`.
    """
    header, data = read_header(source), source.read_bytes()
    encoded = dict(read_gguf(source, lambda kind, columns: columns).metadata.encoded)
    tokens = _texts(encoded[_TOKENS])
    for token, name in (names or {}).items():
        tokens[token] = name.encode()
    tokens += [extra_token(number).encode() for number in range(more)]
    encoded[_TOKENS] = struct.pack("<IIQ", 9, 8, len(tokens)) + b"".join(map(gguf_text, tokens))
    kind_of_more = struct.pack("<i", _UNUSED if unused else _USER_DEFINED)
    for key, value in (("scores", struct.pack("<f", 0)), ("token_type", kind_of_more)):
        if before := encoded.get(f"tokenizer.ggml.{key}"):
            kind, element, count = struct.unpack_from("<IIQ", before)
            wider = struct.pack("<IIQ", kind, element, count + more) + before[16:] + value * more
            encoded[f"tokenizer.ggml.{key}"] = wider
    encoded.pop("llama.vocab_size", None)
    encoded.update({f"tokenizer.ggml.{key}": gguf_value(value) for key, value in values.items()})
    parts, blocks, offset = [b"GGUF", struct.pack("<IQQ", 3, len(header.tensors), len(encoded))], [], 0
    for key, value in encoded.items():
        parts += [gguf_text(key), value]
    for tensor in header.tensors:
        begin, shape = header.data_offset + tensor.offset, tensor.shape
        block = data[begin : begin + tensor.size]
        if tensor.name in _WIDE:
            block += bytes(tensor.size // shape[1] * more)
            shape = (shape[0], shape[1] + more)
        block += bytes(-len(block) % _ALIGNMENT)
        parts += [gguf_text(tensor.name), struct.pack(f"<I{len(shape)}Q", len(shape), *shape)]
        parts.append(struct.pack("<IQ", _TYPES[tensor.kind], offset))
        blocks.append(block)
        offset += len(block)
    head = b"".join(parts)
    target.write_bytes(head + bytes(-len(head) % _ALIGNMENT) + b"".join(blocks))
    return target


def _texts(value: bytes) -> list[bytes]:
    """Return the texts of an encoded array."""
    (count,), at, found = struct.unpack_from("<Q", value, 8), 16, list[bytes]()
    for _ in range(count):
        (length,) = struct.unpack_from("<Q", value, at)
        found.append(value[at + 8 : at + 8 + length])
        at += 8 + length
    return found
