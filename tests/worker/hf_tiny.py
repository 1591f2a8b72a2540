"""Makes tiny models with random weights and real tokenizers, for tests in a Transformers environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
    "Local models run on your own machine. Grüße aus Köln! Привет, мир. 你好，世界。 🙂🚀",
    "def main() -> None:\n    print('hello')\n    return None\n",
] * 20


def byte_level() -> Any:
    """Return a tokenizer like that of GPT-2 or Llama 3."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def sentence_pieces() -> Any:
    """Return a tokenizer like that of Llama 2: a mark for spaces, byte fallback, and BOS before each text."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    space = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(space)
    specials = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=250, special_tokens=specials, limit_alphabet=60, max_token_length=8, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    # SentencePiece's byte tokens are ordinary tokens, which this trainer cannot add.
    made = json.loads(tokenizer.to_str())
    vocabulary = made["model"]["vocab"]
    vocabulary.update({f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)})
    tokenizer = Tokenizer.from_str(json.dumps(made))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return tokenizer


def wrapped(tokenizer: Any) -> Any:
    """Return it as a tokenizer of Transformers."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        chat_template="{% for m in messages %}{{ m.content }}{% endfor %}",
    )


def write_model(folder: Path, tokenizer: Any = None, **config: Any) -> Path:
    """Write a Llama with fixed random float32 weights, and return its folder. With `sliding_window`: a Mistral."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

    tokenizer = wrapped(tokenizer or sentence_pieces())
    sizes = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "max_position_embeddings": 256,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        # Larger weights than usual, because with small ones all tokens are about equally likely.
        "initializer_range": 0.3,
        **config,
    }
    torch.manual_seed(0)
    kind = (MistralConfig, MistralForCausalLM) if "sliding_window" in config else (LlamaConfig, LlamaForCausalLM)
    model = kind[1](kind[0](**sizes))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
