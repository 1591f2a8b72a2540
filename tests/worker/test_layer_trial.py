"""The time of a whole quantization, from runs on the first layer with few and with more samples."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modules.families.calibration import CalibrationSettings
from modules.worker.hf.layer_trial import LayerRun, Rows, layer_bytes, layer_trial, trial_rows

LAYERS, OF_A_LAYER, OF_A_TOKEN, COMPILING = 6, 2.0, 0.001, 2.0


@dataclass
class Engine:
    """Takes seconds as an engine does, more of them the first time. It remembers what it was given."""

    compiling: float = COMPILING
    seen: list[tuple[dict[str, Any], int]] = field(default_factory=list)

    def run(self, folder: Path, rows: Rows) -> LayerRun:
        first = not self.seen
        tokens = sum(map(len, rows))
        self.seen.append((json.loads((folder / "config.json").read_text()), tokens))
        assert (folder / "model.safetensors").read_bytes() == b"weights"
        return LayerRun(OF_A_LAYER + OF_A_TOKEN * tokens + (self.compiling if first else 0), 1000)


def _folder(place: Path, **config: Any) -> Path:
    (place / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    (place / "model.safetensors").write_bytes(b"weights")
    return place


@pytest.mark.parametrize("name", ["num_hidden_layers", "n_layer"])
def test_constant_time_and_that_of_tokens_are_told_apart(tmp_path: Path, name: str) -> None:
    engine = Engine()
    folder = _folder(tmp_path, **{name: LAYERS}, layer_types=["full"] * LAYERS)
    trial = layer_trial(folder, [[1] * 512] * 128, engine.run)
    assert trial is not None
    assert trial.seconds == pytest.approx(LAYERS * (OF_A_LAYER + OF_A_TOKEN * 512 * 128))
    assert trial.held == (LAYERS - 1) * 1000
    assert [tokens for _, tokens in engine.seen] == [512, 512, 2048]
    assert engine.seen[0][0] == {"model_type": "llama", name: 1, "layer_types": ["full"]}
    assert json.loads((folder / "config.json").read_text())[name] == LAYERS


def test_a_long_first_run_is_not_repeated(tmp_path: Path) -> None:
    engine = Engine(compiling=10)
    layer_trial(_folder(tmp_path, num_hidden_layers=LAYERS), [[1] * 600] * 8, engine.run)
    assert [tokens for _, tokens in engine.seen] == [600, 2400]


def test_a_text_of_few_tokens_is_tried_whole(tmp_path: Path) -> None:
    engine = Engine()
    trial = layer_trial(_folder(tmp_path, num_hidden_layers=LAYERS), [[1] * 100] * 4, engine.run)
    assert trial is not None
    assert trial.seconds == pytest.approx(LAYERS * (OF_A_LAYER + OF_A_TOKEN * 400))
    assert [tokens for _, tokens in engine.seen] == [400, 400]


def test_a_model_whose_layers_cannot_be_counted_has_no_trial(tmp_path: Path) -> None:
    assert layer_trial(_folder(tmp_path, layers=LAYERS), [[1] * 600], Engine().run) is None


def test_a_text_that_is_not_here_yet_counts_as_long_as_it_is_wanted(tmp_path: Path) -> None:
    settings = CalibrationSettings(samples=7, length=40)
    assert [len(row) for row in trial_rows([], tmp_path, None, settings)] == [40] * 7


def test_the_bytes_of_a_layer_leave_out_embeddings_and_head() -> None:
    @dataclass
    class Weight:
        nbytes: int

    class Model:
        def named_parameters(self) -> list[tuple[str, Weight]]:
            names = ("model.embed_tokens.weight", "model.layers.0.mlp.experts.3.up.weight", "h.0.b", "lm_head.weight")
            return [(name, Weight(10**number)) for number, name in enumerate(names)]

    assert layer_bytes(Model()) == 110
