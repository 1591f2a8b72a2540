"""The llmcompressor loader: it quantizes, and is not offered where a model is to be loaded."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from loaders.llmcompressor.quantization import W8A8, W8A8Settings
from loaders.llmcompressor.spec import SPEC
from modules.app import App
from modules.library.ranking import rank_loaders
from modules.protocol.errors import PaddockError
from modules.protocol.model_facts import Evidence, Machine, ModelFacts
from modules.protocol.schema import describe
from modules.runtime.loader_registry import Registry

ROOT = Path(__file__).resolve().parent.parent.parent
MACHINE = Machine("linux", "x86_64", 4, 2**34, 2**33)
FACTS = ModelFacts("m", "/m", "safetensors", hidden=256, intermediate=768)


def test_it_is_listed_but_loads_nothing(app: App) -> None:
    registry = Registry(ROOT / "loaders")
    assert SPEC.only_quantizes and "llmcompressor" in registry.specs
    assert SPEC not in registry.shown()
    assert rank_loaders(FACTS, [SPEC], MACHINE) == []
    with pytest.raises(PaddockError, match="LLM Compressor does not read the format safetensors. Choose another"):
        app.models.load("tiny", "llmcompressor", {})


_MINE = """
from dataclasses import dataclass
from paddock import LoaderSpec, QuantizationMethod

@dataclass(frozen=True)
class Settings:
    pass

MINE = QuantizationMethod("mine", "Mine", Settings, bits=lambda settings: 4, label=lambda settings: "mine")
SPEC = LoaderSpec("mine", "Mine", "Makes.", (), Settings, lambda facts, machine: None, quantizers=(MINE,))
"""


def test_a_loader_that_only_quantizes_needs_no_worker_but_a_quantizer(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "spec.py").write_text(_MINE)
    registry = Registry(tmp_path / "none")
    assert not registry.add(folder)
    assert "needs the file quantizer.py beside it" in registry.faults["mine"]
    (folder / "quantizer.py").write_text("")
    assert registry.add(folder)
    reads = folder.rename(tmp_path / "reads")
    (reads / "spec.py").write_text(
        _MINE.replace('"mine", "Mine", "Makes.", ()', '"reads", "Reads", "Reads.", ("gguf",)')
    )
    assert not registry.add(reads)
    assert "needs the file worker.py beside it" in registry.faults["reads"]


@pytest.mark.parametrize(
    ("facts", "settings", "words"),
    [
        (FACTS, W8A8Settings(), ""),
        (replace(FACTS, intermediate=688), W8A8Settings(), ""),
        (replace(FACTS, intermediate=688), W8A8Settings(scheme="W4A16"), "Group size .* 128 does not divide .* 688"),
        (replace(FACTS, vision=True), W8A8Settings(), "sees images"),
        (replace(FACTS, evidence=(Evidence("experts", "8", "config.json"),)), W8A8Settings(), "mixture of experts"),
    ],
)
def test_what_cannot_be_quantized_is_refused_with_a_next_step(
    facts: ModelFacts, settings: W8A8Settings, words: str
) -> None:
    sentence = W8A8.obstacle(facts, settings)
    assert bool(sentence) == bool(words) and re.search(words, sentence)


def test_names_and_bits_follow_the_scheme() -> None:
    schemes = ("W8A8", "W4A16", "FP8_DYNAMIC")
    assert [W8A8.label(W8A8Settings(scheme=scheme)) for scheme in schemes] == ["w8a8", "w4a16", "fp8-dynamic"]
    assert [W8A8.bits(W8A8Settings(scheme=scheme)) for scheme in schemes] == [8, 4.125, 8]
    assert all(len(entry.info.help) > 20 for entry in describe(W8A8Settings))


def test_pins_are_exact_and_without_cuda() -> None:
    lines = (ROOT / "loaders" / SPEC.name / SPEC.requirements).read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.match(r"[A-Za-z0-9._-]+==[0-9][^+ ]*( ; .+)?$", pin) for pin in pins)
    assert "torch==2.13.0" in pins
    assert not [pin for pin in pins if pin.startswith(("nvidia-cu", "nvidia-nc", "cuda-", "triton"))]
