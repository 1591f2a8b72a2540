"""The tokenizer: SentencePiece BPE with byte fallback, written in the three files that engines read.

No dummy prefix and no beginning-of-text token: what a text encodes to does not depend on what stands before it, and
Transformers and llama.cpp agree token by token.
"""

from __future__ import annotations

import json
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, normalizers
from tokenizers.models import BPE

SIZE = 2048
UNKNOWN, BEGIN, END, PAD, START = "<unk>", "<s>", "<|im_end|>", "<pad>", "<|im_start|>"
SPECIALS = (UNKNOWN, BEGIN, END, PAD, START)  # their ids are 0 to 4

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def make(texts: list[str], folder: Path) -> None:
    """Train on ``texts`` and write tokenizer.model, tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    model = folder / "tokenizer.model"
    with model.open("wb") as out:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=out, vocab_size=SIZE, model_type="bpe", byte_fallback=True,
            character_coverage=1.0, normalization_rule_name="identity", add_dummy_prefix=False,
            remove_extra_whitespaces=False, split_digits=True, max_sentence_length=100_000, num_threads=1,
            unk_id=0, bos_id=1, eos_id=2, pad_id=3, unk_piece=UNKNOWN, bos_piece=BEGIN, eos_piece=END, pad_piece=PAD,
            control_symbols=[START], minloglevel=1,
        )  # fmt: skip
    backend(model).save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END,
        "unk_token": UNKNOWN,
        "pad_token": PAD,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
        "padding_side": "left",
        "chat_template": CHAT_TEMPLATE,
        "added_tokens_decoder": {
            str(index): {
                "content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                "special": True,
            }
            for index, text in enumerate(SPECIALS)
        },
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def backend(model: Path) -> Tokenizer:
    """The same vocabulary for ``tokenizers``: a merge is a pair whose union is a piece, best score first."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    scores = {pieces.id_to_piece(i): pieces.get_score(i) for i in range(pieces.vocab_size())}
    vocab = {pieces.id_to_piece(i): i for i in range(pieces.vocab_size())}
    merges: list[tuple[float, str, str]] = []
    for piece, score in scores.items():
        if pieces.is_byte(vocab[piece]) or pieces.is_control(vocab[piece]) or pieces.is_unknown(vocab[piece]):
            continue
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in vocab and right in vocab:
                merges.append((-score, left, right))
    merges.sort(key=lambda merge: (merge[0], vocab[merge[1]], vocab[merge[2]]))
    pairs = [(left, right) for _, left, right in merges]
    made = Tokenizer(BPE(vocab, pairs, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "\u2581")
    made.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    made.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIALS])
    return made
