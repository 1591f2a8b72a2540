"""Make tiny Llamas whose tokenizers put spaces before texts by different rules, each as a folder and as GGUF.

Run `python -m tests.support.prompt_maker FOLDER MODELS.json` in Transformers' environment. MODELS.json maps names to
arguments of `make`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tests.support.chain_maker import chain_model, write_model

SPECIALS = ["<unk>", "<s>", "</s>", "<|user|>", "<|end|>"]
ADDED = ["<tool>", "<note>"]
# Words and the pieces that they are merged from, likeliest first.
_WORDS = ["\u2581", "us", "er", "user", "\u2581user", "he", "ll", "hell", "hello", "\u2581hello", "\u2581\u2581", "hi"]
_CHARS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,:!?\u2581"


def make(folder: Path, rule: str, config: dict[str, Any], flag: bool | None = None, bos: bool = False) -> None:
    """Write the model to `folder`, and to a GGUF file beside it.

    `rule`: where tokenizer.json adds a space: "first", "always", "never", "prepend", or "bytes" for byte-level BPE.
    `config`: more keys of tokenizer_config.json. `flag`: the GGUF file's add_space_prefix. `bos`: begin texts with <s>.
    """
    tokenizer, scores = _bytes() if rule == "bytes" else _pieces(rule)
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIALS])
    # With Prepend, a normalized token is found only after a space. GGUF files cannot express that.
    plain = "" if rule == "prepend" else "<note>"
    tokenizer.add_tokens([AddedToken(name, special=False, normalized=name == plain) for name in ADDED])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    size = tokenizer.get_vocab_size()
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "add_bos_token": bos, **config}))
    end = [tokenizer.token_to_id("</s>")]
    model = chain_model(size, end, end)
    model.save_pretrained(folder)
    written = [tokenizer.id_to_token(token) for token in range(size)]
    writer = gguf.GGUFWriter(str(folder.with_suffix(".gguf")), "llama")
    if scores:
        writer.add_tokenizer_model("llama")
        writer.add_token_scores([scores.get(name, 0.0) for name in written])
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges(["h e"])
    writer.add_token_list(written)
    writer.add_token_types([_kind(name) for name in written])
    for name, add in (("<s>", writer.add_bos_token_id), ("</s>", writer.add_eos_token_id)):
        add(tokenizer.token_to_id(name))
    writer.add_unk_token_id(tokenizer.token_to_id("<unk>"))
    writer.add_add_bos_token(bos)
    if flag is not None:
        writer.add_add_space_prefix(flag)
    write_model(writer, model)


def _pieces(rule: str) -> tuple[Any, dict[str, float]]:
    """Return a tokenizer like SentencePiece's, and its scores."""
    pieces = [*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += dict.fromkeys([*_CHARS, *_WORDS])
    vocabulary = {name: place for place, name in enumerate(pieces)}
    merges = [
        (word[:at], word[at:])
        for word in _WORDS
        for at in range(1, len(word))
        if word[:at] in vocabulary and word[at:] in vocabulary
    ]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, fuse_unk=True))
    if rule == "prepend":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", prepend_scheme=rule, split=False)
    spaces = [decoders.Strip(" ", 1, 0)] if rule != "never" else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), *spaces]
    )
    # SentencePiece scores a piece by the order of merges, and single characters lowest.
    return tokenizer, {name: -float(_WORDS.index(name) + 1 if name in _WORDS else 1000) for name in pieces}


def _bytes() -> tuple[Any, dict[str, float]]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {name: place for place, name in enumerate([*alphabet, "he"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("h", "e")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, {}


def _kind(name: str) -> gguf.TokenType:
    """Return the type of a token as llama.cpp's converter writes it."""
    if name in ADDED:
        return gguf.TokenType.USER_DEFINED
    if name in SPECIALS:
        return gguf.TokenType.UNKNOWN if name == "<unk>" else gguf.TokenType.CONTROL
    return gguf.TokenType.BYTE if name.startswith("<0x") else gguf.TokenType.NORMAL


if __name__ == "__main__":
    for name, options in json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")).items():
        make(Path(sys.argv[1]) / name, **options)
