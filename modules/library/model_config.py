"""Read a model's shape from config.json, whose keys differ between architectures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modules.library.facts_builder import FactsBuilder
from modules.library.json_files import as_object, as_text, positive_int

# Fact -> keys, the most common first.
_KEYS = {
    "context": ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "n_ctx", "max_seq_len"),
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model", "dim"),
    "intermediate": ("intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num"),
    "head_dim": ("head_dim", "kv_channels", "attention_head_dim"),
    "vocabulary": ("vocab_size", "padded_vocab_size"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
}
# Models that also take images or audio keep the language model's part in one of these.
_NESTED = ("text_config", "llm_config", "language_config")
_DTYPES = {"float16": "F16", "half": "F16", "bfloat16": "BF16", "float32": "F32", "float": "F32", "float64": "F64"}


def read_config(config: Mapping[str, Any], found: FactsBuilder) -> None:
    """Note what config.json says about the model's shape."""
    nested = next(((key, config[key]) for key in _NESTED if as_object(config.get(key))), None)
    sources = [(config, "config.json")] + ([(nested[1], f"config.json: {nested[0]}")] if nested else [])
    architectures = config.get("architectures")
    if isinstance(architectures, list) and architectures:
        found.add("architecture", as_text(architectures[0]), "config.json: architectures")
    found.add_default("architecture", as_text(config.get("model_type")), "config.json: model_type")
    for values, source in sources:
        found.problems.extend(_impossible(values, source))
        for fact, keys in _KEYS.items():
            for key in keys:
                if value := positive_int(values.get(key)):
                    found.add(fact, value, f"{source}: {key}")
                    break
        for key in ("dtype", "torch_dtype"):
            word = as_text(values.get(key)).removeprefix("torch.")
            found.add("dtype", _DTYPES.get(word, ""), f"{source}: {key}")
        if values.get("multi_query") is True:
            found.add("kv_heads", 1, f"{source}: multi_query")
    found.add_default("kv_heads", found.get("heads", 0), "as many as heads, since config.json gives no other number")
    if found.get("heads", 0):
        found.add_default("head_dim", found.get("hidden", 0) // found.get("heads", 1), "hidden size / heads")


def _impossible(values: Mapping[str, object], source: str) -> Iterator[str]:
    """Yield sentences about impossible sizes. Lists are allowed: some architectures have one value per layer."""
    for key in (key for fact in ("layers", "hidden", "heads") for key in _KEYS[fact]):
        value = values.get(key)
        if isinstance(value, str) or (isinstance(value, (int, float)) and value <= 0):
            yield (
                f"{source} says {str(value)[:40]!r} for {key}, which must be a whole number above 0. "
                "Download the model again."
            )
