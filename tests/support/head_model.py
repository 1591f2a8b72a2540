"""Write a small GGUF model with a head that predicts several tokens (MTP), which guesses right.

Its text follows a fixed order of all tokens: attention and experts add nothing, and the output's row for a token is the
embedding of the token before it in that order. The head sees only the embedding, so it knows the next token too. The
tokenizer is that of the model `source`. Architecture: GLM-4.5 (llama.cpp, src/models/glm4-moe.cpp).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from modules.worker.gguf.gguf_file import read_gguf
from modules.worker.gguf.source import Metadata
from modules.worker.llama.gguf_keys import read_keys

_WIDTH, _HEADS, _EXPERT = 64, 2, 32
_ALIGNMENT = 32


def write_head_model(source: Path, target: Path, heads: bool = True) -> None:
    """Write the model to `target`. `heads`: without, the metadata speaks of a head that the file does not have."""
    tokens = read_keys(source).vocabulary
    metadata = Metadata(
        {
            key: value
            for key, value in read_gguf(source, lambda kind, columns: columns).metadata.encoded.items()
            if key.startswith("tokenizer.")
        }
    )
    metadata.text("general.architecture", "glm4moe")
    for key, value in (
        ("block_count", 2),
        ("nextn_predict_layers", 1),
        ("context_length", 2048),
        ("embedding_length", _WIDTH),
        ("feed_forward_length", _EXPERT),
        ("expert_feed_forward_length", _EXPERT),
        ("attention.head_count", _HEADS),
        ("attention.head_count_kv", _HEADS),
        ("rope.dimension_count", _WIDTH // _HEADS),
        ("expert_count", 2),
        ("expert_used_count", 1),
        ("expert_shared_count", 1),
        ("leading_dense_block_count", 0),
    ):
        metadata.whole(f"glm4moe.{key}", value)
    metadata.real("glm4moe.attention.layer_norm_rms_epsilon", 1e-5)
    metadata.real("glm4moe.rope.freq_base", 10_000.0)
    _write(target, metadata, _tensors(tokens, heads))


def _tensors(tokens: int, heads: bool) -> dict[str, np.ndarray]:
    """Return the weights by name, shapes as numpy has them: [..., rows, columns]."""
    random = np.random.default_rng(7)
    embeddings = random.standard_normal((tokens, _WIDTH)).astype("float32")
    order = random.permutation(tokens)
    output = np.empty_like(embeddings)
    output[order] = embeddings[np.roll(order, 1)]
    found = {"token_embd.weight": embeddings, "output_norm.weight": _ones(), "output.weight": output}
    for layer in range(2 if heads else 1):
        one = f"blk.{layer}."
        for name in ("attn_norm", "post_attention_norm"):
            found[f"{one}{name}.weight"] = _ones()
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            found[f"{one}{name}.weight"] = _zeros(_WIDTH, _WIDTH)
        found[f"{one}ffn_gate_inp.weight"] = _zeros(2, _WIDTH)
        found[f"{one}exp_probs_b.bias"] = _zeros(2)
        for name in ("gate", "up"):
            found[f"{one}ffn_{name}_exps.weight"] = _zeros(2, _EXPERT, _WIDTH)
            found[f"{one}ffn_{name}_shexp.weight"] = _zeros(_EXPERT, _WIDTH)
        found[f"{one}ffn_down_exps.weight"] = _zeros(2, _WIDTH, _EXPERT)
        found[f"{one}ffn_down_shexp.weight"] = _zeros(_WIDTH, _EXPERT)
    if heads:
        for name in ("enorm", "hnorm", "shared_head_norm"):
            found[f"blk.1.nextn.{name}.weight"] = _ones()
        # Of the embedding and what the layers made of it, side by side, it takes the embedding.
        found["blk.1.nextn.eh_proj.weight"] = np.hstack([np.eye(_WIDTH), np.zeros((_WIDTH, _WIDTH))]).astype("float32")
    return found


def _ones() -> np.ndarray:
    return np.ones(_WIDTH, "float32")


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, "float32")


def _write(target: Path, metadata: Metadata, tensors: dict[str, np.ndarray]) -> None:
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata.encoded))]
    for key, value in metadata.encoded.items():
        parts += [struct.pack("<Q", len(key)), key.encode(), value]
    offset = 0
    for name, values in tensors.items():
        shape = struct.pack(f"<{values.ndim}Q", *reversed(values.shape))
        parts += [struct.pack("<Q", len(name)), name.encode(), struct.pack("<I", values.ndim), shape]
        parts.append(struct.pack("<IQ", 0, offset))  # type 0: F32
        offset += values.nbytes + -values.nbytes % _ALIGNMENT
    header = b"".join(parts)
    data = b"".join(values.tobytes() + bytes(-values.nbytes % _ALIGNMENT) for values in tensors.values())
    target.write_bytes(header + bytes(-len(header) % _ALIGNMENT) + data)
