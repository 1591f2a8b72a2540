"""Write tiny BERT models with fixed random weights: a folder for Transformers and a GGUF file of the same weights.

They need no engine to be written. Letters are tokens, so every text has some.
"""

from __future__ import annotations

import json
import math
import random
import string
import struct
from array import array
from pathlib import Path
from typing import Any

from tests.library.writers import Signed, gguf_bytes, write_json

HIDDEN, LAYERS, HEADS, WIDE, CONTEXT = 32, 2, 4, 64, 128
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_ALPHABET = string.ascii_lowercase + string.digits + string.punctuation
VOCABULARY = [*SPECIAL, *_ALPHABET, *(f"##{letter}" for letter in string.ascii_lowercase + string.digits)]
_CONFIG = {
    "model_type": "bert",
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": WIDE,
    "hidden_act": "gelu",
    "max_position_embeddings": CONTEXT,
    "type_vocab_size": 2,
    "vocab_size": len(VOCABULARY),
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
# Name in Transformers -> name in GGUF.
_OUTER = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_INNER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
Tensors = dict[str, tuple[tuple[int, ...], "array[float]"]]


def write_embedder(folder: Path, pooling: str = "mean") -> Path:
    """Write an embedding model with the files of sentence-transformers. `pooling`: "mean", "cls" or "lasttoken"."""
    _write_folder(folder, _weights(), {"architectures": ["BertModel"]})
    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (path, kind) in enumerate(steps)
    ]
    write_json(folder / "modules.json", modules)
    keys = {"mean": "mean_tokens", "cls": "cls_token", "lasttoken": "lasttoken"}
    modes = {f"pooling_mode_{key}": name == pooling for name, key in keys.items()}
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": HIDDEN, **modes})
    return folder


def write_reranker(folder: Path) -> Path:
    """Write a cross-encoder with one label."""
    one = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    _write_folder(folder, _weights(head=True), {"architectures": ["BertForSequenceClassification"], **one})
    return folder


def write_embedder_gguf(file: Path, pooling: int = 1) -> Path:
    """Write the embedding model as GGUF. `pooling`: llama.cpp's number, 1 for mean, 2 for CLS, 3 for the last token."""
    return _write_gguf(file, _weights(), pooling)


def write_reranker_gguf(file: Path) -> Path:
    """Write the cross-encoder as GGUF."""
    return _write_gguf(file, _weights(head=True), 4)


def _weights(head: bool = False) -> Tensors:
    """Return the tensors by their names in Transformers. The two token types are equal, since llama.cpp knows one."""
    draw = random.Random(0)
    found: Tensors = {}

    def add(name: str, *shape: int, middle: float = 0.0, spread: float = 0.2) -> None:
        found[name] = (shape, array("f", (draw.gauss(middle, spread) for _ in range(math.prod(shape)))))

    def linear(name: str, outputs: int, inputs: int) -> None:
        add(f"{name}.weight", outputs, inputs)
        add(f"{name}.bias", outputs)

    def norm(name: str) -> None:
        add(f"{name}.weight", HIDDEN, middle=1.0)
        add(f"{name}.bias", HIDDEN)

    add("embeddings.word_embeddings.weight", len(VOCABULARY), HIDDEN, spread=1.0)
    add("embeddings.position_embeddings.weight", CONTEXT, HIDDEN)
    add("embeddings.token_type_embeddings.weight", 2, HIDDEN)
    types = found["embeddings.token_type_embeddings.weight"][1]
    types[HIDDEN:] = types[:HIDDEN]
    norm("embeddings.LayerNorm")
    for layer in range(LAYERS):
        for part in _INNER:
            name = f"encoder.layer.{layer}.{part}"
            if part.endswith("LayerNorm"):
                norm(name)
            else:
                outputs = WIDE if part == "intermediate.dense" else HIDDEN
                linear(name, outputs, WIDE if part == "output.dense" else HIDDEN)
    if head:
        linear("pooler.dense", HIDDEN, HIDDEN)
        found = {f"bert.{name}": tensor for name, tensor in found.items()}
        # So that scores differ.
        add("classifier.weight", 1, HIDDEN, spread=1.0)
        add("classifier.bias", 1)
    return found


def _write_folder(folder: Path, tensors: Tensors, more: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {**_CONFIG, **more})
    header, data = dict[str, Any](), bytearray()
    for name, (shape, values) in tensors.items():
        begin = len(data)
        data += values.tobytes()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, len(data)]}
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    write_json(folder / "tokenizer.json", _tokenizer())
    about = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": CONTEXT}
    names = ("pad", "unk", "cls", "sep", "mask")
    write_json(
        folder / "tokenizer_config.json",
        {**about, **{f"{name}_token": token for name, token in zip(names, SPECIAL, strict=True)}},
    )
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")


def _tokenizer() -> dict[str, Any]:
    """Return the content of tokenizer.json."""
    added = [
        {"id": at, "content": token, "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for at, token in enumerate(SPECIAL)
    ]
    sep, cls = SPECIAL.index("[SEP]"), SPECIAL.index("[CLS]")
    parts = {
        "single": [("SpecialToken", "[CLS]", 0), ("Sequence", "A", 0), ("SpecialToken", "[SEP]", 0)],
        "pair": [
            *(("SpecialToken", "[CLS]", 0), ("Sequence", "A", 0), ("SpecialToken", "[SEP]", 0)),
            *(("Sequence", "B", 1), ("SpecialToken", "[SEP]", 1)),
        ],
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            **{
                name: [{kind: {"id": id, "type_id": type_id}} for kind, id, type_id in row]
                for name, row in parts.items()
            },
            "special_tokens": {
                token: {"id": token, "ids": [id], "tokens": [token]} for token, id in (("[SEP]", sep), ("[CLS]", cls))
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: at for at, token in enumerate(VOCABULARY)},
        },
    }


def _write_gguf(file: Path, tensors: Tensors, pooling: int) -> Path:
    renamed = {_gguf_name(name.removeprefix("bert.")): tensor for name, tensor in tensors.items()}
    tokens = [
        token if token in SPECIAL else token[2:] if token.startswith("##") else f"▁{token}" for token in VOCABULARY
    ]
    ids = {name: SPECIAL.index(token) for name, token in (("bos", "[CLS]"), ("unknown", "[UNK]"), ("mask", "[MASK]"))}
    metadata = {
        "general.architecture": "bert",
        "general.file_type": 0,
        "bert.block_count": LAYERS,
        "bert.context_length": CONTEXT,
        "bert.embedding_length": HIDDEN,
        "bert.feed_forward_length": WIDE,
        "bert.attention.head_count": HEADS,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "bert.pooling_type": pooling,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [Signed(3 if token in SPECIAL else 1) for token in VOCABULARY],
        "tokenizer.ggml.seperator_token_id": SPECIAL.index("[SEP]"),
        # With these, llama.cpp's server puts the separators of a pair where Transformers does.
        "tokenizer.ggml.eos_token_id": SPECIAL.index("[SEP]"),
        "tokenizer.ggml.add_eos_token": True,
        "tokenizer.ggml.add_sep_token": False,
        "tokenizer.ggml.padding_token_id": SPECIAL.index("[PAD]"),
        **{f"tokenizer.ggml.{name}_token_id": id for name, id in ids.items()},
    }
    shapes = [(name, tuple(reversed(shape)), 0) for name, (shape, _) in renamed.items()]
    data = bytearray()
    for _, values in renamed.values():
        data += bytes(-len(data) % 32) + values.tobytes()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gguf_bytes(metadata, shapes)[: -len(data)] + data)
    return file


def _gguf_name(name: str) -> str:
    stem, _, kind = name.rpartition(".")
    if stem in _OUTER:
        return f"{_OUTER[stem]}.{kind}"
    if stem == "pooler.dense":
        return f"cls.{kind}"
    if stem == "classifier":
        return f"cls.output.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{_INNER[part]}.{kind}"
