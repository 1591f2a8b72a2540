"""Projectors for images beside GGUF models: found by name, checked by their headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loaders.xllamacpp.spec import SPEC, Settings
from modules.families.projector import choose_projector, image_tokens
from modules.library.detect import detect
from modules.library.machine import inspect_machine
from modules.library.memory_plan import memory_demand, plan_memory
from modules.library.scan import ModelLibrary
from modules.protocol.errors import ModelError, SettingError
from modules.protocol.model_facts import ModelFacts
from tests.library.writers import LLAMA_METADATA, gguf_bytes

_CLIP: dict[str, Any] = {
    "general.architecture": "clip",
    "clip.has_vision_encoder": True,
    "clip.projector_type": "mlp",
    "clip.vision.projection_dim": 256,
}


def _projector(hidden: int = 256, changes: dict[str, Any] | None = None) -> bytes:
    values = {**_CLIP, "clip.vision.projection_dim": hidden, **(changes or {})}
    return gguf_bytes(values, [("v.blk.0.a", (64, 4), 0), ("mm.2.bias", (hidden,), 0)])


def _write(folder: Path, **files: bytes) -> Path:
    for name, data in files.items():
        (folder / f"{name.replace('__', '-')}.gguf").write_bytes(data)
    return folder


def test_a_projector_that_fits_makes_a_model_see(tmp_path: Path) -> None:
    _write(tmp_path, a=gguf_bytes(), mmproj__F16=_projector())
    for facts in (detect(tmp_path, "m"), detect(tmp_path / "a.gguf", "m/a.gguf")):
        assert facts.vision
        assert [(one.name, one.kind, one.problem) for one in facts.projectors] == [("mmproj-F16.gguf", "mlp", "")]
        assert facts.projectors[0].size_bytes == (tmp_path / "mmproj-F16.gguf").stat().st_size
        assert facts.warnings == ()


def test_a_projector_for_sound_makes_a_model_hear(tmp_path: Path) -> None:
    audio: dict[str, Any] = {"clip.has_audio_encoder": True, "clip.audio.projector_type": "ultravox"}
    only = {**audio, "clip.has_vision_encoder": False, "clip.projector_type": ""}
    for changes, sees in ((only, False), (audio, True)):
        facts = detect(_write(tmp_path, a=gguf_bytes(), mmproj__a=_projector(changes=changes)), "m")
        assert (facts.vision, facts.audio) == (sees, True)
        assert (facts.projectors[0].kind, facts.projectors[0].problem) == ("mlp" if sees else "ultravox", "")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_projector(512), "made for models with an embedding size of 512, and this model's is 256"),
        (_projector(changes={"clip.projector_type": "qwen2vl_merger"}), "is a projector for qwen2 models"),
        (_projector(changes={"clip.has_vision_encoder": False}), "reads neither images nor sound"),
        (gguf_bytes(), "is no projector for images or sound"),
        (b"", "mmproj-x.gguf"),
        (_projector()[:-9], "cut short"),
    ],
)
def test_one_that_does_not_fit_is_refused_before_a_load(tmp_path: Path, data: bytes, words: str) -> None:
    facts = detect(_write(tmp_path, a=gguf_bytes(), mmproj__x=data), "m")
    assert not facts.vision
    assert words in facts.projectors[0].problem
    assert any(words in warning for warning in facts.warnings)
    assert facts.problems == ()  # it still answers text
    assert choose_projector("auto", facts.projectors) is None
    with pytest.raises(ModelError, match="mmproj-x"):
        choose_projector("mmproj-x.gguf", facts.projectors)


def test_of_several_the_most_exact_in_16_bits_is_first(tmp_path: Path) -> None:
    names = ("mmproj__F32", "mmproj__Q8_0", "mmproj__BF16", "mmproj__F16")
    facts = detect(_write(tmp_path, a=gguf_bytes(), **{name: _projector() for name in names}), "m")
    assert [one.name[7:-5] for one in facts.projectors] == ["F16", "BF16", "Q8_0", "F32"]


def test_among_several_models_the_name_says_whose_it_is(tmp_path: Path) -> None:
    files = {
        "Bird__7B__Q4_K_M": gguf_bytes(),
        "Bird__7B__Q8_0": gguf_bytes(),
        "Cat__Q8_0": gguf_bytes(),
        "Bird__7B__mmproj__F16": _projector(),
        "mmproj__Bird__7B__Q8_0": _projector(),
    }
    _write(tmp_path, **files)
    seen = {name: len(detect(tmp_path / name, name).projectors) for name in ("Bird-7B-Q8_0.gguf", "Cat-Q8_0.gguf")}
    assert seen == {"Bird-7B-Q8_0.gguf": 2, "Cat-Q8_0.gguf": 0}


def test_a_projector_is_no_model_and_a_new_one_is_noticed(tmp_path: Path) -> None:
    library = ModelLibrary(tmp_path)
    _write(tmp_path, a=gguf_bytes())
    assert not library.facts("a.gguf").vision
    _write(tmp_path, mmproj__a=_projector())
    assert library.names() == ["a.gguf"]
    assert library.facts("a.gguf").vision


def _facts(tmp_path: Path) -> ModelFacts:
    return detect(_write(tmp_path, a=gguf_bytes(LLAMA_METADATA), mmproj__a=_projector(), mmproj__b=_projector()), "m")


def test_a_setting_chooses_another_or_none(tmp_path: Path) -> None:
    there = _facts(tmp_path).projectors
    found = choose_projector("auto", there)
    assert found is not None and found.name == "mmproj-a.gguf"
    found = choose_projector("mmproj-b.gguf", there)
    assert found is not None and found.name == "mmproj-b.gguf"
    assert choose_projector("none", there) is None
    with pytest.raises(SettingError, match=r"no projector 'x' beside .* one of: mmproj-a\.gguf, mmproj-b\.gguf"):
        choose_projector("x", there)


def test_its_bytes_are_in_the_plan(tmp_path: Path) -> None:
    facts, machine = _facts(tmp_path), inspect_machine()
    with_images, without = (
        plan_memory(facts, memory_demand(facts, SPEC, Settings(projector=name), machine), machine)
        for name in ("auto", "none")
    )
    assert with_images.total - without.total == facts.projectors[0].size_bytes


@pytest.mark.parametrize(
    ("kind", "values", "size", "most", "tokens"),
    [
        ("mlp", {"image_size": 336, "patch_size": 14}, (800, 600), 0, 576),
        ("ldpv2", {"image_size": 336, "patch_size": 14}, (800, 600), 0, 144),
        ("gemma3", {"image_size": 896, "patch_size": 14}, (800, 600), 0, 256),
        ("qwen2.5vl_merger", {"patch_size": 14}, (560, 280), 0, 200),
        ("qwen2.5vl_merger", {"patch_size": 14}, (5600, 2800), 1000, 1000),
        ("pixtral", {"patch_size": 16}, (160, 160), 0, 100),
        ("unheard-of", {}, (10, 10), 0, 576),
    ],
)
def test_the_tokens_of_an_image_are_estimated(
    kind: str, values: dict[str, int], size: tuple[int, int], most: int, tokens: int
) -> None:
    metadata: dict[str, object] = {f"clip.vision.{name}": number for name, number in values.items()}
    assert image_tokens({**metadata, "clip.projector_type": kind}, *size, most) == tokens
