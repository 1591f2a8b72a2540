"""LoRA adapters are distinguished from models, described by their headers, and matched with models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modules.library.adapter_files import adapter_mismatch, is_gguf_adapter, read_adapter
from modules.library.scan import ModelLibrary
from modules.protocol.errors import ModelError
from modules.protocol.model_facts import ModelFacts
from tests.library.writers import gguf_bytes, safetensors_bytes, write_folder, write_json
from tests.support.adapters import GGUF_METADATA, write_gguf_adapter, write_peft_adapter

FITTING = ModelFacts("m", "m", "safetensors", hidden=8, layers=2, architecture="LlamaForCausalLM")


def test_a_peft_folder_says_what_it_is(tmp_path: Path) -> None:
    adapter = read_adapter(write_peft_adapter(tmp_path / "style"), "style")
    assert (adapter.format, adapter.base, adapter.rank) == ("peft", "maker/base", 4)
    assert (adapter.targets, adapter.hidden, adapter.layers) == (("down_proj", "q_proj"), 8, 2)
    assert adapter.problems == ()
    sources = {piece.fact: piece.source for piece in adapter.evidence}
    assert sources["base"] == "adapter_config.json: base_model_name_or_path"
    assert sources["hidden size"].startswith("adapter_model.safetensors")


def test_a_gguf_adapter_says_what_it_is(tmp_path: Path) -> None:
    adapter = read_adapter(write_gguf_adapter(tmp_path / "style.gguf"), "style.gguf")
    assert (adapter.format, adapter.architecture, adapter.rank) == ("gguf", "llama", 4)
    assert (adapter.targets, adapter.hidden, adapter.layers) == (("attn_q", "ffn_down"), 8, 2)
    assert adapter.problems == ()


def test_adapters_are_listed_apart_from_models(tmp_path: Path) -> None:
    write_folder(tmp_path / "model")
    (tmp_path / "model.gguf").write_bytes(gguf_bytes())
    write_peft_adapter(tmp_path / "style")
    write_peft_adapter(tmp_path / "training" / "checkpoint-20")
    write_json(write_peft_adapter(tmp_path / "with-config") / "config.json", {"model_type": "llama"})
    write_gguf_adapter(tmp_path / "style.gguf")
    write_gguf_adapter(tmp_path / "folder" / "inside.gguf")
    library = ModelLibrary(tmp_path)
    assert library.names() == ["model", "model.gguf"]
    assert [adapter.name for adapter in library.adapters()] == [
        "folder/inside.gguf",
        "style",
        "style.gguf",
        "training/checkpoint-20",
        "with-config",
    ]
    assert "is a LoRA adapter" in library.facts("style.gguf").problems[0]
    assert "is a LoRA adapter" in library.facts("style").problems[0]


def test_an_unknown_adapter_is_refused_with_the_available_names(tmp_path: Path) -> None:
    library = ModelLibrary(tmp_path)
    with pytest.raises(ModelError, match="There are none yet"):
        library.adapter("style")
    write_peft_adapter(tmp_path / "style")
    with pytest.raises(ModelError, match="The adapters are: style"):
        library.adapter("../style")


def test_a_model_whose_name_mentions_adapters_is_not_an_adapter(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes({"general.architecture": "llama", "general.name": "general.type adapter"}))
    assert not is_gguf_adapter(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": "IA3"}, "is not a LoRA adapter (IA3)"),
        ({"peft_type": ["x"]}, "is not a LoRA adapter (no peft_type)"),
    ],
)
def test_an_adapter_of_another_kind_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    adapter = read_adapter(write_peft_adapter(tmp_path / "style", **change), "style")
    assert words in adapter.problems[0]
    assert adapter_mismatch(adapter, FITTING) == " ".join(adapter.problems)


def test_broken_adapter_files_are_listed_with_their_problem(tmp_path: Path) -> None:
    folder = write_peft_adapter(tmp_path / "cut")
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    (write_peft_adapter(tmp_path / "pickled") / "adapter_model.safetensors").rename(
        tmp_path / "pickled" / "adapter_model.bin"
    )
    path = write_gguf_adapter(tmp_path / "cut.gguf")
    path.write_bytes(path.read_bytes()[:-9])
    (write_peft_adapter(tmp_path / "no-json") / "adapter_config.json").write_text("{")
    problems = {adapter.name: adapter.problems[0] for adapter in ModelLibrary(tmp_path).adapters()}
    assert "cut short" in problems["cut"]
    assert "cut short" in problems["cut.gguf"]
    assert "has no adapter_model.safetensors" in problems["pickled"]
    assert "not valid JSON" in problems["no-json"]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (ModelFacts("m", "m", "gguf", hidden=16), "it is for a hidden size of 8, and that of m is 16"),
        (ModelFacts("m", "m", "gguf", hidden=8, layers=1), "it changes 2 layers, and m has 1"),
        (ModelFacts("m", "m", "gguf", hidden=8, architecture="qwen3"), "for the architecture llama, and m is qwen3"),
    ],
)
def test_an_adapter_for_another_model_is_recognized_by_its_shapes(
    tmp_path: Path, model: ModelFacts, words: str
) -> None:
    adapter = read_adapter(write_gguf_adapter(tmp_path / "style.gguf"), "style.gguf")
    assert words in adapter_mismatch(adapter, model)
    assert adapter_mismatch(adapter, model).endswith("choose another adapter.")


def test_an_adapter_whose_shapes_fit_is_not_refused(tmp_path: Path) -> None:
    adapter = read_adapter(write_peft_adapter(tmp_path / "style"), "style")
    assert adapter_mismatch(adapter, FITTING) == ""
    assert adapter_mismatch(adapter, ModelFacts("m", "m", "gptq")) == ""


def test_an_adapter_without_a_base_model_has_a_next_step(tmp_path: Path) -> None:
    path = tmp_path / "style.gguf"
    path.write_bytes(gguf_bytes(GGUF_METADATA, [("blk.0.attn_q.weight.lora_a", (8, 4), 0)]))
    adapter = read_adapter(path, "style.gguf")
    assert "Load the model that it was trained on" in adapter_mismatch(adapter, ModelFacts("m", "m", "gguf", hidden=16))


def test_tensors_with_absurd_layer_numbers_are_read_fast(tmp_path: Path) -> None:
    folder = write_peft_adapter(tmp_path / "style")
    name = f"base_model.model.model.layers.{'9' * 30}.self_attn.q_proj.lora_A.weight"
    (folder / "adapter_model.safetensors").write_bytes(safetensors_bytes({name: ("F16", (4, 8))}))
    assert read_adapter(folder, "style").layers == 0
