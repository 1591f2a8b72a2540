"""What the Model tab says about a model, as HTML."""

from __future__ import annotations

from pathlib import Path

from modules.library.detect import detect
from modules.ui.model_card import card
from tests.support.models import write_model_folder


def test_names_of_the_evidence_break_at_their_parts_and_nothing_becomes_markup(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "tiny")
    config = folder / "config.json"
    config.write_text(config.read_text().replace("LlamaForCausalLM", "Llama<b>ForCausalLM"))
    html = card(detect(folder, "tiny"))
    assert "config.<wbr>json: max_<wbr>position_<wbr>embeddings" in html
    assert "Llama&lt;b&gt;For<wbr>Causal<wbr>LM" in html
    assert "<b>" not in html
