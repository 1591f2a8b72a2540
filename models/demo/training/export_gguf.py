"""Write the folder of the demo model as one GGUF file in Q8_0, as llama.cpp expects it.

    python models/demo/training/export_gguf.py [FOLDER] [FILE]

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
from safetensors.numpy import load_file

FOLDER = Path(__file__).resolve().parent.parent
DESCRIPTION = "A tiny Llama that answers questions about running local models and using Paddock."


def export(folder: Path, file: Path) -> None:
    """Write ``file`` from the config, tokenizer and weights in ``folder``."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(str(file), "llama")
    _add_metadata(writer, config)
    _add_tokenizer(writer, folder)
    for name, weight in _tensors(load_file(folder / "model.safetensors"), config):
        _add_tensor(writer, name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_metadata(writer: gguf.GGUFWriter, config: dict) -> None:
    """What the file is, and the sizes of the network."""
    writer.add_type("model")
    writer.add_name("Paddock demo")
    writer.add_description(DESCRIPTION)
    writer.add_license("Apache-2.0")
    writer.add_languages(["en"])
    writer.add_size_label("5.8M")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path) -> None:
    """The SentencePiece vocabulary with scores and token types, and the chat template."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    ids = range(pieces.vocab_size())
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([pieces.id_to_piece(i).encode() for i in ids])
    writer.add_token_scores([pieces.get_score(i) for i in ids])
    writer.add_token_types([_token_type(pieces, i) for i in ids])
    writer.add_bos_token_id(pieces.bos_id())
    writer.add_eos_token_id(pieces.eos_id())
    writer.add_unk_token_id(pieces.unk_id())
    writer.add_pad_token_id(pieces.pad_id())
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template((folder / "chat_template.jinja").read_text(encoding="utf-8"))


def _token_type(pieces: sentencepiece.SentencePieceProcessor, token: int) -> gguf.TokenType:
    """The kind of a token in the words of the GGUF format."""
    if pieces.is_unknown(token):
        return gguf.TokenType.UNKNOWN
    if pieces.is_control(token):
        return gguf.TokenType.CONTROL
    return gguf.TokenType.BYTE if pieces.is_byte(token) else gguf.TokenType.NORMAL


def _tensors(weights: dict[str, np.ndarray], config: dict) -> list[tuple[str, np.ndarray]]:
    """Weights under their GGUF names; query and key rows in the order that llama.cpp's rotation wants."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    named: list[tuple[str, np.ndarray]] = []
    for key in sorted(weights):
        name = names.get_name(key, try_suffixes=(".weight",))
        if name is None:
            raise ValueError(f"{key} has no GGUF name")
        count = heads.get(key.split(".")[-2])
        named.append((name, interleave(weights[key], count) if count else weights[key]))
    return named


def interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows (heads * size, in) from halves (Transformers) to neighbouring pairs (llama.cpp) within each head."""
    rows, width = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def _add_tensor(writer: gguf.GGUFWriter, name: str, weight: np.ndarray) -> None:
    """Matrices in Q8_0, vectors in fp32."""
    full = weight.astype(np.float32)
    if full.ndim == 1:
        writer.add_tensor(name, full)
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, gguf.quants.quantize(full, kind), raw_dtype=kind)


if __name__ == "__main__":
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    export(source, Path(sys.argv[2]) if len(sys.argv) > 2 else source.parent / f"{source.name}.Q8_0.gguf")
