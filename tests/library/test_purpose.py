"""The purpose of a model is detected from its files, and no loader is proposed for an unsupported purpose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modules.app import App
from modules.library.detect import detect
from modules.library.machine import inspect_machine
from modules.library.ranking import describe_model, rank_loaders
from modules.protocol.errors import PaddockError
from modules.protocol.model_purpose import READERS
from modules.runtime.loader_registry import Registry
from modules.settings.config import Config
from tests.library.writers import LLAMA_CONFIG, LLAMA_METADATA, gguf_bytes, write_folder, write_json

ROOT = Path(__file__).resolve().parent.parent.parent


def _config(architecture: str, kind: str, **more: Any) -> dict[str, Any]:
    return {**LLAMA_CONFIG, "architectures": [architecture] if architecture else None, "model_type": kind, **more}


@pytest.mark.parametrize(
    "architecture, kind, more, purpose",
    [
        ("LlamaForCausalLM", "llama", {}, "generate"),
        ("GPT2LMHeadModel", "gpt2", {}, "generate"),
        ("MambaForCausalLM", "mamba", {}, "generate"),
        ("RwkvForCausalLM", "rwkv", {}, "generate"),
        ("ReformerModelWithLMHead", "reformer", {"is_decoder": True}, "generate"),
        ("", "llama", {}, "generate"),
        ("ChatGLMModel", "chatglm", {"auto_map": {"AutoModelForCausalLM": "a.B"}}, "generate"),
        ("BertLMHeadModel", "bert", {"is_decoder": True}, "generate"),
        ("BartForCausalLM", "bart", {"is_encoder_decoder": True}, "generate"),
        ("Qwen2VLForConditionalGeneration", "qwen2_vl", {"vision_config": {"depth": 1}}, "generate"),
        ("Qwen3Model", "qwen3", {}, "embed"),
        ("Gemma3TextModel", "gemma3_text", {"use_bidirectional_attention": True}, "embed"),
        ("LlamaForCausalLM", "llama", {"is_causal": False}, "embed"),
        ("LlamaForSequenceClassification", "llama", {}, "classify"),
        ("Qwen3ForSequenceClassification", "qwen3", {"id2label": {"0": "LABEL_0"}}, "rerank"),
        ("BertForSequenceClassification", "bert", {"num_labels": 1}, "rerank"),
        ("RobertaForTokenClassification", "roberta", {}, "classify"),
        ("BertForMaskedLM", "bert", {}, "encode"),
        ("BertModel", "bert", {}, "encode"),
        ("RobertaForCausalLM", "roberta", {}, "encode"),
        ("ModernBertForMaskedLM", "modernbert", {}, "encode"),
        ("T5EncoderModel", "t5", {"is_encoder_decoder": True}, "encode"),
        ("T5ForConditionalGeneration", "t5", {}, "encode-decode"),
        ("BartForConditionalGeneration", "bart", {"is_encoder_decoder": True}, "encode-decode"),
        ("MarianMTModel", "marian", {"is_encoder_decoder": True}, "encode-decode"),
        ("WhisperForConditionalGeneration", "whisper", {"is_encoder_decoder": True}, "encode-decode"),
        ("LightGlueForKeypointMatching", "lightglue", {}, "other"),
        ("DetrForObjectDetection", "detr", {}, "other"),
    ],
)
def test_the_purpose_of_a_folder(
    tmp_path: Path, architecture: str, kind: str, more: dict[str, Any], purpose: str
) -> None:
    facts = detect(write_folder(tmp_path / "m", _config(architecture, kind, **more)), "m")
    assert facts.purpose == purpose
    assert any(piece.fact == "purpose" for piece in facts.evidence)
    assert facts.vision == ("vision_config" in more)
    specs = Registry(ROOT / "loaders").specs.values()
    ranked = rank_loaders(facts, specs, inspect_machine())
    assert any(entry.runs for entry in ranked) == (purpose in ("generate", *READERS))
    if purpose in READERS:
        assert [entry.loader for entry in ranked if entry.runs] == ["transformers"]
    elif purpose != "generate":
        assert ranked == []
    if purpose != "generate":
        assert "so it cannot chat" in facts.warnings[0] and architecture in facts.warnings[0]
        assert "chat template" not in " ".join(facts.warnings)
    described = describe_model(facts, ranked, specs)
    assert (described["purpose"], described["vision"]) == (purpose, facts.vision)


@pytest.mark.parametrize("file", ["modules.json", "config_sentence_transformers.json"])
def test_files_of_sentence_transformers_make_an_embedding_model(tmp_path: Path, file: str) -> None:
    folder = write_folder(tmp_path / "m", _config("Qwen3ForCausalLM", "qwen3"))
    write_json(folder / file, {})
    facts = detect(folder, "m")
    assert facts.purpose == "embed"
    assert [piece.source for piece in facts.evidence if piece.fact == "purpose"] == [f"file name: {file}"]


@pytest.mark.parametrize(
    "changes, tensor, purpose",
    [
        ({}, "", "generate"),
        ({"general.architecture": "mamba"}, "", "generate"),
        ({"general.architecture": "bert", "bert.pooling_type": 2}, "", "embed"),
        ({"general.architecture": "nomic-bert-moe"}, "", "embed"),
        ({"llama.pooling_type": 3}, "", "embed"),
        ({"llama.pooling_type": 0}, "", "generate"),
        ({"llama.pooling_type": 4}, "", "rerank"),
        ({"llama.attention.causal": False}, "", "embed"),
        ({"general.architecture": "bert"}, "cls.output.weight", "classify"),
        ({"general.architecture": "t5"}, "", "encode-decode"),
    ],
)
def test_the_purpose_of_a_gguf(tmp_path: Path, changes: dict[str, Any], tensor: str, purpose: str) -> None:
    tensors = [("blk.0.a", (256, 4), 0), *([(tensor, (4,), 0)] if tensor else [])]
    (tmp_path / "m.gguf").write_bytes(gguf_bytes({**LLAMA_METADATA, **changes}, tensors))
    facts = detect(tmp_path / "m.gguf", "m.gguf")
    assert facts.purpose == purpose
    ranked = rank_loaders(facts, Registry(ROOT / "loaders").specs.values(), inspect_machine())
    running = {entry.loader for entry in ranked if entry.runs}
    assert bool(running) == (purpose in ("generate", "embed", "rerank"))
    assert purpose not in READERS or running == {"xllamacpp", *(["llamacpp"] if purpose == "embed" else [])}


def test_a_model_that_cannot_chat_is_also_refused_for_a_named_loader(config: Config) -> None:
    assert config.models is not None
    path = config.models / "tiny" / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "architectures": ["LlamaForSequenceClassification"]}))
    app = App(config)
    try:
        for loader in ("", "transformers"):
            with pytest.raises(PaddockError, match="tiny is a classifier: it gives labels .*so it cannot chat"):
                app.models.load("tiny", loader)
    finally:
        app.close()


@pytest.mark.parametrize("kind", ["empty", "adapter", "nested", "no config", "no weights"])
def test_no_missing_template_is_reported_for_what_is_not_a_model(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    if kind == "adapter":
        write_json(folder / "adapter_config.json", {"base_model_name_or_path": "the/base"})
        write_json(folder / "config.json", LLAMA_CONFIG)
    elif kind == "nested":
        write_folder(folder / "inner")
    elif kind == "no config":
        (folder / "model.safetensors").write_bytes(b"x")
    elif kind == "no weights":
        write_json(folder / "config.json", LLAMA_CONFIG)
    facts = detect(folder, "m")
    assert facts.problems
    assert not any("template" in sentence for sentence in (*facts.problems, *facts.warnings))


def test_an_outer_folder_names_the_models_inside(config: Config) -> None:
    assert config.models is not None
    hub = config.models / "models--maker--small"
    write_folder(hub / "snapshots" / "abc123")
    (hub / "blobs").mkdir()
    write_folder(config.models / "maker" / "one")
    (config.models / "maker" / "two").mkdir()
    for name in ("a.gguf", "b.gguf"):
        (config.models / "maker" / "two" / name).write_bytes(gguf_bytes())
    app = App(config)
    try:
        (problem,) = app.library.facts("models--maker--small").problems
        assert "Use this name: models--maker--small/snapshots/abc123." in problem
        (problem,) = app.library.facts("maker").problems
        assert "Use this name: maker/one, maker/two/a.gguf, maker/two/b.gguf." in problem
        (problem,) = app.library.facts("maker/two").problems
        for name in ("models--maker--small/snapshots/abc123", "maker/one", "maker/two/a.gguf", "maker/two/b.gguf"):
            assert app.library.facts(name).problems == (), name
        assert "maker/two/a.gguf, maker/two/b.gguf" in problem
    finally:
        app.close()
