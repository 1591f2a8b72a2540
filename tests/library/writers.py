"""Functions that write small model files for tests. Weights are zeros."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from modules.library.gguf_types import TENSOR_TYPES
from modules.library.safetensors import BITS


class Signed(int):
    """A whole number that is written with a sign (INT32)."""


# Python type -> GGUF value type id and struct format.
_SCALARS: dict[type, tuple[int, str]] = {bool: (7, "?"), int: (4, "I"), Signed: (5, "i"), float: (6, "f")}

LLAMA_METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.file_type": 7,
    "llama.context_length": 2048,
    "llama.block_count": 6,
    "llama.embedding_length": 256,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.tokens": ["<s>", "</s>", "a", "b"],
    "tokenizer.chat_template": "{{ messages }}",
}
LLAMA_TENSORS: list[tuple[str, tuple[int, ...], int]] = [
    ("token_embd.weight", (256, 4), 8),
    ("blk.0.attn_norm.weight", (256,), 0),
    ("output.weight", (256, 4), 8),
]
LLAMA_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "vocab_size": 4096,
    "torch_dtype": "float16",
}


def gguf_text(text: str | bytes) -> bytes:
    """Return a GGUF string: 8 bytes of length, then UTF-8."""
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def gguf_value(value: Any) -> bytes:
    """Return a GGUF value after its type."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + gguf_text(value)
    if isinstance(value, list) and value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(gguf_text, value))
    if isinstance(value, list):
        kind, form = _SCALARS[type(value[0])]
        return struct.pack("<IIQ", 9, kind, len(value)) + struct.pack(f"<{len(value)}{form}", *value)
    kind, form = _SCALARS[type(value)]
    return struct.pack(f"<I{form}", kind, value)


def gguf_bytes(
    metadata: dict[str, Any] | None = None,
    tensors: list[tuple[str, tuple[int, ...], int]] | None = None,
    version: int = 3,
) -> bytes:
    """Return a complete GGUF file: metadata, tensors (name, shape, type id) and their data."""
    metadata = LLAMA_METADATA if metadata is None else metadata
    tensors = LLAMA_TENSORS if tensors is None else tensors
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    head += b"".join(gguf_text(key) + gguf_value(value) for key, value in metadata.items())
    offset, data = 0, b""
    for name, shape, kind in tensors:
        _, block, width = TENSOR_TYPES[kind]
        elements = 1
        for length in shape:
            elements *= length
        head += gguf_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        data += bytes(-len(data) % 32) + bytes(elements // block * width)
        offset = len(data) + -len(data) % 32
    return head + bytes(-len(head) % 32) + data if tensors else head


def safetensors_bytes(tensors: dict[str, tuple[str, tuple[int, ...]]]) -> bytes:
    """Return a complete safetensors file. `tensors`: name -> (type, shape)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (kind, shape) in tensors.items():
        size = BITS[kind] // 8
        for length in shape:
            size *= length
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(offset)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON to the file at `path`."""
    path.write_text(json.dumps(value), encoding="utf-8")


def write_folder(
    path: Path,
    config: dict[str, Any] | None = None,
    tensors: dict[str, tuple[str, tuple[int, ...]]] | None = None,
) -> Path:
    """Write a complete small Llama folder with safetensors to `path`."""
    path.mkdir(parents=True)
    write_json(path / "config.json", LLAMA_CONFIG if config is None else config)
    write_json(path / "tokenizer_config.json", {"chat_template": "{{ messages }}", "model_max_length": 10**30})
    write_json(path / "tokenizer.json", {})
    plain: dict[str, tuple[str, tuple[int, ...]]] = {"model.embed_tokens.weight": ("F16", (4096, 256))}
    (path / "model.safetensors").write_bytes(safetensors_bytes(plain if tensors is None else tensors))
    return path
