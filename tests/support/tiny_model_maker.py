"""Write tiny models with random weights: `python tiny_model_maker.py KIND... FOLDER`, with Transformers 5.

Each is FOLDER/KIND. The imports take longer than a model, so make all kinds that are needed at once.

Norms and biases are random too, so that a converter that loses one of them changes the logits.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_SAMPLE = Path(__file__).resolve().parents[2] / "modules" / "jobs" / "samples" / "calibration.jsonl"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {"qwen2": rf"{_WORDS}\p{{N}}{_REST}", "llama3": rf"{_WORDS}\p{{N}}{{1,3}}{_REST}", "gpt2": ""}
_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
_SHAPE = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
_WIDE = {"intermediate_size": 128, "num_key_value_heads": 4}
_GPT2_SHAPE = {"vocab_size": 512, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 512}
# Kind -> (tokenizer, class of the configuration, its values).
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt2": ("gpt2", "GPT2Config", _GPT2_SHAPE),
    "qwen2-tied": ("qwen2", "Qwen2Config", {**_SHAPE, "tie_word_embeddings": True}),
    "qwen3": ("qwen2", "Qwen3Config", {**_SHAPE, "head_dim": 32, "tie_word_embeddings": False}),
    "mixtral": ("llama3", "MixtralConfig", {**_SHAPE, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "llama3": ("llama3", "LlamaConfig", {**_SHAPE, "rope_parameters": _ROPE}),
}
# Kinds that llama.cpp's converter, or one of the engines, does not know.
_OPT = {"vocab_size": 512, "hidden_size": 64, "ffn_dim": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
_MAMBA = {"vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 3, "state_size": 16, "tie_word_embeddings": True}
_IMAGES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 2}
_LLAVA = {
    "vision_config": {"model_type": "clip_vision_model", "image_size": 28, "patch_size": 14, **_IMAGES},
    "text_config": {"model_type": "llama", **_SHAPE},
    "image_token_index": 5,
}
OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "opt": ("gpt2", "OPTConfig", {**_OPT, "word_embed_proj_dim": 64, "max_position_embeddings": 512}),
    # Widths that AWQ takes.
    "tied": ("qwen2", "Qwen2Config", {**_SHAPE, **_WIDE, "tie_word_embeddings": True}),
    "experts": ("llama3", "MixtralConfig", {**_SHAPE, **_WIDE, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "mamba": ("gpt2", "MambaConfig", _MAMBA),
    "llava": ("llama3", "LlavaConfig", _LLAVA),
}


def _tokenizer(kind: str) -> Any:
    """Return a byte-level BPE tokenizer that splits text by the rule `kind`, trained on the calibration sample."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "gpt2")
    split = [pre_tokenizers.Split(Regex(_SPLITS[kind]), "isolated")] if _SPLITS[kind] else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*split, bytes_]) if split else bytes_
    tokenizer.decoder = decoders.ByteLevel()
    rows = [json.loads(line) for line in _SAMPLE.read_text(encoding="utf-8").splitlines()]
    texts = [row.get("text") or " ".join(turn["content"] for turn in row["messages"]) for row in rows]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=509, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>")


def make(kind: str, folder: Path) -> None:
    """Write the folder of one model."""
    import torch
    import transformers

    tokenizer, config_class, values = {**KINDS, **OTHERS}[kind]
    ends = {"bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.2}
    torch.manual_seed(0)
    writes = transformers.AutoModelForImageTextToText if kind == "llava" else transformers.AutoModelForCausalLM
    model = writes.from_config(getattr(transformers, config_class)(**values, **ends))
    for weight in model.parameters():
        if weight.ndim == 1:
            weight.data += 0.3 * torch.randn_like(weight)
    model.to(torch.bfloat16).save_pretrained(folder)
    _tokenizer(tokenizer).save_pretrained(folder)


if __name__ == "__main__":
    for wanted in sys.argv[1:-1]:
        make(wanted, Path(sys.argv[-1], wanted))
