"""What is said of a model whose part for images or sound cannot be used. Runs in a Transformers environment."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from modules.worker.hf.auto_class import taken_beside_text  # noqa: E402
from modules.worker.hf.image_processor import EITHER, IMAGES, SOUND, load_processor  # noqa: E402
from tests.worker.hf_tiny import byte_level, wrapped  # noqa: E402


@pytest.mark.parametrize(
    ("parts", "takes"),
    [
        (["vision_tower", "multi_modal_projector"], IMAGES),
        (["audio_tower", "multi_modal_projector"], SOUND),
        (["vision_tower", "embed_vision", "audio_tower", "embed_audio"], EITHER),
        (["connector"], EITHER),
    ],
)
def test_names_of_parts_tell_what_a_model_takes(parts: list[str], takes: str) -> None:
    assert taken_beside_text(parts) == takes


@pytest.mark.parametrize("takes", [IMAGES, SOUND, EITHER])
def test_a_folder_without_a_processor_gets_a_sentence_on_what_the_model_takes(takes: str, tmp_path: Path) -> None:
    said = f"Its folder has no preprocessor_config.json, so {takes} cannot be prepared for it."
    assert load_processor(tmp_path, wrapped(byte_level()), takes) == (None, said)


@pytest.mark.parametrize("takes", [IMAGES, SOUND, EITHER])
def test_a_processor_of_something_else_gets_a_sentence_on_what_the_model_takes(
    takes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoProcessor

    (tmp_path / "preprocessor_config.json").write_text("{}")
    monkeypatch.setattr(AutoProcessor, "from_pretrained", lambda *given, **more: object())
    found, said = load_processor(tmp_path, wrapped(byte_level()), takes)
    assert found is None and said.startswith(f"Its processor for {takes} cannot be loaded (it has no part for ")
    assert ("images" in said.partition("(")[2], "sound" in said) == (takes != SOUND, takes != IMAGES)


def test_only_a_model_that_sees_needs_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    without: Any = lambda name, package=None: None if name == "PIL" else find(name, package)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", without)
    tokenizer = wrapped(byte_level())
    assert "cannot read images" in load_processor(tmp_path, tokenizer, IMAGES)[1]
    assert "so sound cannot be prepared" in load_processor(tmp_path, tokenizer, SOUND)[1]
