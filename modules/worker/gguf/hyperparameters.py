"""The numbers of config.json as GGUF metadata. Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from modules.protocol.errors import ModelError
from modules.worker.gguf.source import Metadata, SourceTensor


def number(config: Mapping[str, Any], *names: str, default: int = 0) -> int:
    """Return the first of these whole numbers that config.json has."""
    return next((int(config[name]) for name in names if isinstance(config.get(name), int)), default)


def head_counts(config: Mapping[str, object]) -> tuple[int, int]:
    """Return (query heads, key and value heads)."""
    heads = number(config, "num_attention_heads", "n_head", default=1)
    return heads, number(config, "num_key_value_heads", default=heads)


def write_hyperparameters(metadata: Metadata, prefix: str, config: Mapping[str, Any]) -> list[SourceTensor]:
    """Set the metadata of the network's shape. Return the tensors that stand for numbers of config.json.

    Raises ModelError for what GGUF has no place for.
    """
    hidden = number(config, "hidden_size", "n_embd")
    heads, kv_heads = head_counts(config)
    metadata.whole(f"{prefix}.context_length", number(config, "max_position_embeddings", "n_positions", default=2048))
    metadata.whole(f"{prefix}.embedding_length", hidden)
    metadata.whole(f"{prefix}.block_count", number(config, "num_hidden_layers", "n_layer"))
    metadata.whole(f"{prefix}.feed_forward_length", number(config, "intermediate_size", "n_inner", default=4 * hidden))
    metadata.whole(f"{prefix}.attention.head_count", heads)
    metadata.whole(f"{prefix}.attention.head_count_kv", kv_heads)
    if "rms_norm_eps" in config:
        metadata.real(f"{prefix}.attention.layer_norm_rms_epsilon", float(config["rms_norm_eps"]))
    if "layer_norm_epsilon" in config:
        metadata.real(f"{prefix}.attention.layer_norm_epsilon", float(config["layer_norm_epsilon"]))
    if experts := number(config, "num_local_experts"):
        metadata.whole(f"{prefix}.expert_count", experts)
        metadata.whole(f"{prefix}.expert_used_count", number(config, "num_experts_per_tok", default=2))
    if prefix == "gpt2":
        return []
    size = number(config, "head_dim", default=hidden // heads)
    metadata.whole(f"{prefix}.rope.dimension_count", size)
    metadata.whole(f"{prefix}.attention.key_length", size)
    metadata.whole(f"{prefix}.attention.value_length", size)
    metadata.whole(f"{prefix}.vocab_size", number(config, "vocab_size"))
    window = number(config, "sliding_window")
    if window and prefix != "llama" and config.get("use_sliding_window"):
        raise ModelError(
            f"The model uses sliding-window attention over {window} tokens in some layers, which this converter "
            "does not write. Choose another method, or download the model as GGUF."
        )
    return _write_rope(metadata, prefix, config, size)


def _write_rope(metadata: Metadata, prefix: str, config: Mapping[str, Any], size: int) -> list[SourceTensor]:
    # Transformers 5 keeps all in rope_parameters, 4 in rope_theta and rope_scaling.
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    base = float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
    metadata.real(f"{prefix}.rope.freq_base", base)
    kind = str(rope.get("rope_type") or rope.get("type") or "default")
    if kind in ("linear", "yarn"):
        metadata.text(f"{prefix}.rope.scaling.type", kind)
        metadata.real(f"{prefix}.rope.scaling.factor", float(rope["factor"]))
        if kind == "yarn":
            original = number(rope, "original_max_position_embeddings")
            metadata.whole(f"{prefix}.rope.scaling.original_context_length", original)
    elif kind == "llama3":
        factors = _llama3_factors(rope, base, size)
        data = struct.pack(f"<{len(factors)}f", *factors)
        return [SourceTensor("rope_freqs.weight", (len(factors),), "F32", lambda begin, end: data)]
    elif kind != "default":
        raise ModelError(
            f"The model's positions are scaled by {kind}, which this converter does not write. Choose another method, "
            "or download the model as GGUF."
        )
    return []


def _llama3_factors(rope: Mapping[str, Any], base: float, size: int) -> list[float]:
    """Return what each rotary frequency is divided by (Llama 3.1: long wavelengths by `factor`, short ones by 1)."""
    factor, original = float(rope["factor"]), float(rope["original_max_position_embeddings"])
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    found = []
    for place in range(0, size, 2):
        wavelength = 2 * math.pi * base ** (place / size)
        if wavelength < original / high:
            found.append(1.0)
        elif wavelength > original / low:
            found.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return found
