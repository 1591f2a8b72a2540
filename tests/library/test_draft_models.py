"""Draft models that the form offers are smaller, have the same tokens, and are found by their names."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from loaders.transformers.spec import SPEC as TRANSFORMERS
from loaders.xllamacpp.spec import SPEC as XLLAMACPP
from modules.families.drafts import find_draft_model
from modules.library.draft_models import fitting_drafts, vocabulary
from modules.library.scan import ModelLibrary
from modules.protocol.errors import ModelError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Claim
from tests.library.writers import LLAMA_METADATA, gguf_bytes, write_folder, write_json

SECONDS = 60.0


def _folder(root: Path, name: str, rows: int, tokens: dict[str, int], **tokenizer: Any) -> None:
    folder = write_folder(root / name, None, {"model.embed_tokens.weight": ("F16", (rows, 256))})
    write_json(folder / "tokenizer.json", {"model": {"type": "BPE", "vocab": tokens}, **tokenizer})


def _file(root: Path, name: str, rows: int, tokens: list[str]) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    metadata = {**LLAMA_METADATA, "tokenizer.ggml.tokens": tokens}
    tensors = [("token_embd.weight", (256, rows), 8), ("blk.0.attn_norm.weight", (256,), 0)]
    (root / name).write_bytes(gguf_bytes(metadata, tensors))


def _offered(root: Path, model: str, spec: LoaderSpec) -> list[str]:
    library = ModelLibrary(root)
    return fitting_drafts(library, library.facts(model), spec, SECONDS)


def test_smaller_folders_with_the_same_tokens_are_offered_smallest_first(tmp_path: Path) -> None:
    tokens = {"a": 0, "b": 1}
    _folder(tmp_path, "large", 64, tokens)
    _folder(tmp_path, "middle", 32, tokens)
    _folder(tmp_path, "small", 16, tokens)
    _folder(tmp_path, "swapped", 16, {"a": 1, "b": 0})
    _folder(tmp_path, "more", 16, tokens, added_tokens=[{"id": 2, "content": "<x>"}])
    _file(tmp_path, "small.gguf", 16, ["a", "b"])
    assert _offered(tmp_path, "large", TRANSFORMERS) == ["small", "middle"]
    assert _offered(tmp_path, "middle", TRANSFORMERS) == ["small"]
    assert _offered(tmp_path, "small", TRANSFORMERS) == []


def test_files_are_compared_by_their_tokens(tmp_path: Path) -> None:
    tokens = ["<s>", "</s>", "a", "b"]
    _file(tmp_path, "large.gguf", 64, tokens)
    _file(tmp_path, "small.gguf", 16, tokens)
    _file(tmp_path, "sub/deep.gguf", 16, tokens)
    # The same letters, cut otherwise.
    _file(tmp_path, "cut.gguf", 16, ["<s>", "</s>", "ab", ""])
    _folder(tmp_path, "folder", 16, {"<s>": 0, "</s>": 1, "a": 2, "b": 3})
    offered = _offered(tmp_path, "large.gguf", XLLAMACPP)
    assert offered == ["small.gguf", "sub/deep.gguf"]
    for name in offered:
        assert find_draft_model(name, tmp_path / "large.gguf") == tmp_path / name


def test_a_loader_of_packed_weights_is_offered_plain_ones_too(tmp_path: Path) -> None:
    _folder(tmp_path, "large", 64, {"a": 0})
    _folder(tmp_path, "small", 16, {"a": 0})
    packed = dataclasses.replace(TRANSFORMERS, formats=("exl3",), claim=lambda *_: Claim(1, "Reads it."))
    assert _offered(tmp_path, "large", packed) == ["small"]


def test_an_unreadable_vocabulary_offers_nothing(tmp_path: Path) -> None:
    _folder(tmp_path, "large", 64, {"a": 0})
    _folder(tmp_path, "small", 16, {"a": 0})
    (tmp_path / "small" / "tokenizer.json").write_text("{")
    assert _offered(tmp_path, "large", TRANSFORMERS) == []
    (tmp_path / "large" / "tokenizer.json").unlink()
    assert vocabulary(tmp_path / "large") == ""
    (tmp_path / "broken.gguf").write_bytes(b"GGUF\x03\0\0\0")
    with pytest.raises(ModelError):
        vocabulary(tmp_path / "broken.gguf")
