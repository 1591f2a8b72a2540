"""GGUF files of ours beside llama.cpp's own: the same types and bytes, and models that cannot be converted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from modules.library.gguf import read_header
from tests.support.gguf_quantizers import Case, GgufQuantizers, read_tensors
from tests.support.models import write_model_folder

ROOT = Path(__file__).resolve().parent.parent.parent
DEMO = ROOT / "models" / "demo"
TYPES = (
    *("F32", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_0", "IQ4_NL", "IQ4_XS"),
    *("Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M", "Q2_K"),
)


def test_every_type_is_what_llama_cpps_own_quantizer_writes(quantizers: GgufQuantizers, tmp_path: Path) -> None:
    quantizers.assert_same(Case(DEMO, tmp_path, TYPES))


def test_the_shipped_file_is_what_the_converter_makes(quantizers: GgufQuantizers, tmp_path: Path) -> None:
    quantizers.quantize("xllamacpp", DEMO, tmp_path, ["Q8_0"])
    made, shipped = tmp_path / "Q8_0" / "demo.gguf", ROOT / "models" / "demo.Q8_0.gguf"
    assert read_tensors(made) == read_tensors(shipped)
    same = (
        "tokenizer.chat_template",
        "tokenizer.ggml.add_bos_token",
        "tokenizer.ggml.eos_token_id",
        "llama.vocab_size",
    )
    for key in same:
        assert read_header(made).metadata[key] == read_header(shipped).metadata[key], key


def test_a_gguf_file_of_whole_weights_is_a_source_too(quantizers: GgufQuantizers, tmp_path: Path) -> None:
    quantizers.quantize("xllamacpp", DEMO, tmp_path / "a", ["F16", "Q4_K_M"])
    quantizers.quantize("xllamacpp", tmp_path / "a" / "F16" / "demo.gguf", tmp_path / "b", ["Q4_K_M"])
    assert read_tensors(tmp_path / "a" / "Q4_K_M" / "demo.gguf") == read_tensors(
        tmp_path / "b" / "Q4_K_M" / "demo.gguf"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["OPTForCausalLM"]}, "is a OPTForCausalLM, which this converter does not write"),
        ({"rope_scaling": {"rope_type": "longrope"}, "rope_parameters": None}, "positions are scaled by longrope"),
    ],
)
def test_a_model_that_gguf_cannot_hold_truly_is_a_sentence(
    quantizers: GgufQuantizers, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("training"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(Exception, match=words):
        quantizers.quantize("xllamacpp", folder, tmp_path / "out", ["F16"])


def test_a_tokenizer_that_is_unknown_is_a_sentence(quantizers: GgufQuantizers, tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "tiny")
    split = {"type": "Split", "pattern": {"Regex": "another"}}
    steps = {"type": "Sequence", "pretokenizers": [split, {"type": "ByteLevel", "use_regex": False}]}
    model = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps({"model": model, "pre_tokenizer": steps, "added_tokens": []}))
    with pytest.raises(Exception, match="splits text by a rule that this converter does not know"):
        quantizers.quantize("xllamacpp", folder, tmp_path / "out", ["F16"])
