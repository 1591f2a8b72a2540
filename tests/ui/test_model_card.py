"""The HTML about a model on the Model tab."""

from __future__ import annotations

from pathlib import Path

from modules.families.transformers_settings import TransformersSettings
from modules.library.detect import detect
from modules.protocol.schema import describe
from modules.ui.model_card import card, reason
from modules.ui.tabs.model_tab import own_context
from tests.support.models import write_model_folder


def test_names_of_the_evidence_break_at_their_parts_and_nothing_becomes_markup(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "tiny")
    config = folder / "config.json"
    config.write_text(config.read_text().replace("LlamaForCausalLM", "Llama<b>ForCausalLM"))
    html = card(detect(folder, "tiny"))
    assert "config.<wbr>json: max_<wbr>position_<wbr>embeddings" in html
    assert "Llama&lt;b&gt;For<wbr>Causal<wbr>LM" in html
    assert "<b>" not in html


def test_a_model_that_cannot_chat_shows_its_purpose_and_no_template(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "tiny")
    assert "ChatML is used" in card(detect(folder, "tiny"))
    config = folder / "config.json"
    config.write_text(config.read_text().replace("LlamaForCausalLM", "LlamaForSequenceClassification"))
    facts = detect(folder, "tiny")
    html = card(facts)
    assert "<dt>For</dt><dd>classification</dd>" in html
    assert "so it cannot chat" in html
    assert "ChatML" not in html
    assert reason("", [], facts, "No loader.") == ""


def test_a_default_context_above_the_trained_one_is_shown_as_the_trained_one() -> None:
    (setting,) = [entry for entry in describe(TransformersSettings) if entry.name == "context"]
    assert setting.default > 2048
    assert own_context(setting, {}, trained=2048) == 2048
    assert own_context(setting, {}, trained=setting.default * 4) == 0
    assert own_context(setting, {}, trained=0) == 0
    assert own_context(setting, {"context": 4096}, trained=2048) == 0
    assert own_context(None, {}, trained=2048) == 0
