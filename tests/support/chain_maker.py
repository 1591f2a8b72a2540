"""Make tiny Llamas that say a given text, token by token, each as a folder and as GGUF.

Run `chain_maker.py FOLDER MODELS.json` with the Python of Transformers' environment. MODELS.json maps names to
arguments of `make`. Each token's embedding is one-hot, and the output layer maps a token to the next token of the text.
Attention and MLP are zero. After a token that is not part of the text, the text begins.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT = 2048


def make(
    folder: Path,
    say: list[str],
    specials: list[str],
    eos: str = "</s>",
    config_eos: list[str] | None = None,
    generation_eos: list[str] | None = None,
    template: str = "",
    poison: bool = False,
) -> None:
    """Write the model to `folder`, and to a GGUF file beside it.

    `say`: tokens, each one of `specials`, a byte's character, or a word. `config_eos`, `generation_eos`: names of the
    end tokens in config.json and generation_config.json (None: `eos`). `poison`: make one weight NaN.
    """
    tokenizer = _tokenizer([word for word in say if word not in specials], specials)
    size = tokenizer.get_vocab_size()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token=eos)
    fast.chat_template = template or None
    fast.save_pretrained(folder)
    ends = [tokenizer.token_to_id(name) for name in config_eos or [eos]]
    model = chain_model(size, [tokenizer.token_to_id(word) for word in say], ends)
    if poison:
        with torch.no_grad():
            model.model.layers[0].mlp.up_proj.weight[0, 0] = float("nan")
    model.save_pretrained(folder)
    if generation_eos is not None:
        file = folder / "generation_config.json"
        named = [tokenizer.token_to_id(name) for name in generation_eos]
        file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token_id": named}))
    _write_gguf(folder.with_suffix(".gguf"), model, tokenizer, specials, eos, template)


def _tokenizer(words: list[str], specials: list[str]) -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {char: place for place, char in enumerate([*alphabet, "zz"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("z", "z")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    fresh = [word for word in dict.fromkeys(words) if word not in vocabulary]
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in fresh])
    return tokenizer


def chain_model(size: int, chain: list[int], ends: list[int]) -> Any:
    """Return a Llama with a vocabulary of `size` tokens that generates `chain`. `ends`: the end-of-text tokens."""
    width = (size + 63) // 64 * 64
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        eos_token_id=ends if len(ends) > 1 else ends[0],
        bos_token_id=None,
        dtype="float32",
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0 if parameter.ndim == 1 else 0.0)
        model.model.embed_tokens.weight[:, :size] = torch.eye(size)
        head = model.lm_head.weight
        head[chain[0], :size] = 1.0
        for token, following in zip(chain, chain[1:] + chain[-1:], strict=True):
            head[:, token] = 0
            head[following, token] = 1.0
    return model


def _write_gguf(file: Path, model: Any, tokenizer: Any, specials: list[str], eos: str, template: str) -> None:
    size = model.config.vocab_size
    writer = gguf.GGUFWriter(str(file), "llama")
    names = [tokenizer.id_to_token(token) for token in range(size)]
    ordinary = {*pre_tokenizers.ByteLevel.alphabet(), "zz"}
    kinds = [_kind(name, name in specials, name in ordinary) for name in names]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    writer.add_token_merges(["z z"])
    writer.add_bos_token_id(tokenizer.token_to_id("<s>"))
    writer.add_eos_token_id(tokenizer.token_to_id(eos))
    writer.add_add_bos_token(False)
    if template:
        writer.add_chat_template(template)
    write_model(writer, model)


def write_model(writer: Any, model: Any) -> None:
    """Add the dimensions and weights of `model` to a GGUF file, and write the file."""
    config = model.config
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(1)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_rope_dimension_count(config.hidden_size // 4)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 1)
    for name, weight in model.state_dict().items():
        writer.add_tensor(table.get_name(name, (".weight",)), weight.numpy().astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _kind(name: str, special: bool, ordinary: bool) -> gguf.TokenType:
    """Return the type of a token as llama.cpp's converter writes it."""
    if special:
        return gguf.TokenType.CONTROL
    if name.startswith(("[PAD", "<unused")):
        return gguf.TokenType.UNUSED
    return gguf.TokenType.NORMAL if ordinary else gguf.TokenType.USER_DEFINED


if __name__ == "__main__":
    for name, options in json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")).items():
        make(Path(sys.argv[1]) / name, **options)
