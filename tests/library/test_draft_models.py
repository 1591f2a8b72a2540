"""Draft models that the form offers are smaller, have the same tokens, and are found by their names."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from loaders.exllamav2.spec import SPEC as EXLLAMAV2
from loaders.llamacpp.spec import SPEC as LLAMACPP
from loaders.transformers.spec import SPEC as TRANSFORMERS
from loaders.vllm.spec import SPEC as VLLM
from loaders.xllamacpp.spec import SPEC as XLLAMACPP
from modules.families.drafts import find_draft_model
from modules.library.draft_models import fitting_drafts, vocabulary
from modules.library.scan import ModelLibrary
from modules.protocol.errors import ModelError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Claim
from tests.library.writers import LLAMA_METADATA, Signed, gguf_bytes, write_folder, write_json

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
    _file(tmp_path, "small.gguf", 16, ["a", "b"])
    assert _offered(tmp_path, "large", TRANSFORMERS) == ["small", "middle"]
    assert _offered(tmp_path, "middle", TRANSFORMERS) == ["small"]
    assert _offered(tmp_path, "small", TRANSFORMERS) == []


def test_files_are_compared_by_their_tokens(tmp_path: Path) -> None:
    first = ["<unk>", "<s>", "</s>", "<pad>", "<mask>"]
    tokens = [*first, "a", "b"]
    _file(tmp_path, "large.gguf", 64, tokens)
    _file(tmp_path, "small.gguf", 16, tokens)
    _file(tmp_path, "sub/deep.gguf", 16, tokens)
    # The same letters, cut otherwise.
    _file(tmp_path, "cut.gguf", 16, [*first, "ab", ""])
    _folder(tmp_path, "folder", 16, {name: token for token, name in enumerate(tokens)})
    offered = _offered(tmp_path, "large.gguf", XLLAMACPP)
    assert offered == ["small.gguf", "sub/deep.gguf"]
    for name in offered:
        assert find_draft_model(name, tmp_path / "large.gguf") == tmp_path / name


def _vocabulary_file(root: Path, name: str, rows: int, count: int, /, **keys: Any) -> None:
    """Write a model of `count` tokens. `first`, `fifth`: the names of tokens 0 and 5; `unused`: of the last tokens so
    many are; all else are tokenizer's keys."""
    tokens = [f"t{token}" for token in range(count)]
    tokens[0], tokens[5] = keys.pop("first", "t0"), keys.pop("fifth", "t5")
    unused = keys.pop("unused", 0)
    keys["token_type"] = [Signed(1)] * (count - unused) + [Signed(5)] * unused
    named = {f"tokenizer.ggml.{key}": value for key, value in {"model": "llama", **keys}.items()}
    metadata = {**LLAMA_METADATA, **named, "tokenizer.ggml.tokens": tokens}
    tensors = [("token_embd.weight", (256, rows), 8), ("blk.0.attn_norm.weight", (256,), 0)]
    (root / name).write_bytes(gguf_bytes(metadata, tensors))


@pytest.mark.parametrize("spec", [XLLAMACPP, LLAMACPP], ids=lambda spec: spec.name)
def test_files_may_differ_where_llama_cpp_lets_them(tmp_path: Path, spec: LoaderSpec) -> None:
    _vocabulary_file(tmp_path, "large.gguf", 64, 200)
    for name, count in (("fewer", 72), ("more", 328), ("too-few", 71), ("too-many", 329)):
        _vocabulary_file(tmp_path, f"{name}.gguf", 16, count)
    for name, count, unused in (("padded", 328, 128), ("in-part", 328, 127), ("too-padded", 329, 129)):
        _vocabulary_file(tmp_path, f"{name}.gguf", 16, count, unused=unused)
    _vocabulary_file(tmp_path, "first.gguf", 16, 200, first="<unk>")
    _vocabulary_file(tmp_path, "fifth.gguf", 16, 200, fifth="<pad>")
    # What llama.cpp assumes of this kind of tokenizer.
    _vocabulary_file(tmp_path, "usual.gguf", 16, 200, bos_token_id=1, add_bos_token=True, add_eos_token=False)
    _vocabulary_file(tmp_path, "other-start.gguf", 16, 200, bos_token_id=7)
    # Another end counts only where it is added to a text.
    _vocabulary_file(tmp_path, "other-end.gguf", 16, 200, eos_token_id=9)
    _vocabulary_file(tmp_path, "added-end.gguf", 16, 200, add_eos_token=True)
    _vocabulary_file(tmp_path, "other-kind.gguf", 16, 200, model="gpt2")
    # A number beyond the vocabulary is as none.
    _vocabulary_file(tmp_path, "beyond.gguf", 16, 200, bos_token_id=4_000_000)
    expected = {"padded", "first", "usual", "other-end", "beyond"}
    if spec is LLAMACPP:  # llama.cpp's server ends at a token that one of both does not have.
        expected |= {"fewer", "more", "in-part"}
    assert set(_offered(tmp_path, "large.gguf", spec)) == {f"{name}.gguf" for name in expected}


def test_folders_may_differ_at_the_end_where_the_loader_lets_them(tmp_path: Path) -> None:
    tokens = {f"t{token}": token for token in range(200)}
    _folder(tmp_path, "large", 64, tokens)
    _folder(tmp_path, "same", 16, tokens)
    _folder(
        tmp_path, "more", 16, tokens, added_tokens=[{"id": 200 + more, "content": f"<{more}>"} for more in range(128)]
    )
    _folder(tmp_path, "fewer", 16, {f"t{token}": token for token in range(72)})
    _folder(tmp_path, "too-few", 16, {f"t{token}": token for token in range(71)})
    _folder(tmp_path, "first", 16, {**{f"t{token}": token for token in range(1, 200)}, "<unk>": 0})
    _folder(tmp_path, "hole", 16, {name: token for name, token in tokens.items() if token != 9})
    _folder(tmp_path, "damaged", 16, {"a": 10**30, "b": -1})
    assert set(_offered(tmp_path, "large", TRANSFORMERS)) == {"same", "more", "fewer"}
    assert set(_offered(tmp_path, "large", EXLLAMAV2)) == {"same"}


def test_vllm_is_offered_drafts_with_as_many_rows(tmp_path: Path) -> None:
    tokens = {f"t{token}": token for token in range(200)}
    _folder(tmp_path, "large", 64, tokens)
    _folder(tmp_path, "small", 16, tokens)
    assert _offered(tmp_path, "large", VLLM) == ["small"]
    config = tmp_path / "small" / "config.json"
    write_json(config, {**json.loads(config.read_text()), "vocab_size": 4224})
    # Models of one family pad the same vocabulary to different sizes, and vLLM refuses that.
    assert _offered(tmp_path, "large", VLLM) == []
    assert _offered(tmp_path, "large", TRANSFORMERS) == ["small"]


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
    assert vocabulary(tmp_path / "large") is None
    (tmp_path / "broken.gguf").write_bytes(b"GGUF\x03\0\0\0")
    with pytest.raises(ModelError):
        vocabulary(tmp_path / "broken.gguf")
