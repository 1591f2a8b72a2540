"""A GGUF file with many layers of small matrices: the rules for tensor types depend on the number of layers."""

from __future__ import annotations

import random
import struct
from array import array
from pathlib import Path
from typing import Any

from modules.library.gguf import read_header
from tests.library.writers import gguf_bytes

LAYERS, COLUMNS, ROWS = 16, 256, 2
_MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output")
_F32 = 0


def write_many_layers(file: Path, kv_heads: int = 2, experts: int = 0, tied: bool = False) -> Path:
    """Write a Llama of 8 heads whose weights are random numbers that are the same in every run; return `file`."""
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "general.file_type": 0,
        "llama.context_length": 64,
        "llama.block_count": LAYERS,
        "llama.embedding_length": COLUMNS,
        "llama.feed_forward_length": COLUMNS,
        "llama.attention.head_count": 8,
        "llama.attention.head_count_kv": kv_heads,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": 32,
        "tokenizer.ggml.tokens": ["<s>", "</s>", "a", "b"],
    }
    if experts:
        metadata.update({"llama.expert_count": experts, "llama.expert_used_count": 2})
    tensors = [("token_embd.weight", (COLUMNS, ROWS), _F32), ("output_norm.weight", (COLUMNS,), _F32)]
    if not tied:
        tensors.append(("output.weight", (COLUMNS, ROWS), _F32))
    wide = ("ffn_gate", "ffn_up", "ffn_down")
    for layer in range(LAYERS):
        tensors += [(f"blk.{layer}.{name}.weight", (COLUMNS, ROWS), _F32) for name in _MATRICES]
        tensors.append((f"blk.{layer}.attn_norm.weight", (COLUMNS,), _F32))
        if experts:
            tensors += [(f"blk.{layer}.{name}_exps.weight", (COLUMNS, 1, experts), _F32) for name in wide]
            tensors.append((f"blk.{layer}.ffn_gate_inp.weight", (COLUMNS, experts), _F32))
        else:
            tensors += [(f"blk.{layer}.{name}.weight", (COLUMNS, ROWS), _F32) for name in wide]
    file.write_bytes(gguf_bytes(metadata, tensors))
    begin = read_header(file).data_offset
    numbers = random.Random(0)
    count = (file.stat().st_size - begin) // 4
    values = array("f", (numbers.gauss(0, 1) for _ in range(count)))
    file.write_bytes(file.read_bytes()[:begin] + values.tobytes())
    return file


def write_old_matrix(file: Path, model: Path) -> dict[str, list[float]]:
    """Write an importance matrix for the matrices of the layers, as llama-imatrix did first; return its numbers."""
    numbers = random.Random(1)
    values = {
        tensor.name: [numbers.uniform(0.01, 4) for _ in range(COLUMNS * (tensor.shape[2:] or (1,))[0])]
        for tensor in read_header(model).tensors
        if tensor.name.startswith("blk.") and len(tensor.shape) > 1 and "inp" not in tensor.name
    }
    raw = struct.pack("<i", len(values))
    for name, row in values.items():
        raw += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 2, len(row))
        raw += array("f", (2 * value for value in row)).tobytes()
    file.write_bytes(raw + struct.pack("<ii", 2, 4) + b"text")
    return values
