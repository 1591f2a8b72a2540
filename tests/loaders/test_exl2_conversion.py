"""EXL2 without a card: the order of ExLlamaV2's steps, what a stopped job continues from, and logits of a window."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from loaders.exllamav2.conversion import Job, Request, Save, Steps, begin, convert, whole_fraction
from loaders.exllamav2.loaded_model import LoadedModel
from loaders.exllamav2.quantization import EXL2, Exl2Settings
from loaders.exllamav2.quantizer import make_request, rows_of_one_length, tidy
from loaders.exllamav2.scoring import write_logits
from modules.protocol.commands import Quantize
from modules.protocol.errors import SettingError, Unsupported
from modules.protocol.schema import build

ROWS = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


@dataclass
class Engine:
    """ExLlamaV2's steps, which only write down that they ran. `dies_in`: the step that raises."""

    dies_in: str = ""
    ran: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)

    def steps(self) -> Steps:
        return Steps(
            self.model,
            self.write_rows,
            self.step("embeddings"),
            self.step("measure", measurement={"layer": [1]}, last_module_idx=7),
            self.step("optimize", strategy={"layer": 2}),
            self.step("quantize", q_last_module_idx=7),
            self.step("compile"),
        )

    @contextmanager
    def model(self, measuring: bool) -> Iterator[str]:
        self.models.append("loaded")
        yield "measured model" if measuring else "model"
        self.models.append("unloaded")

    def write_rows(self, rows: Any, file: Path) -> None:
        self.ran.append(f"rows {len(rows)}")

    def step(self, name: str, **results: Any) -> Any:
        def run(job: Job, save: Save, model: str) -> None:
            assert (model == "measured model") == (name == "measure")
            if name == self.dies_in:
                if results:  # as the engine does between two files of a checkpoint
                    job.update(results, invalid=True)
                save()
                raise OSError(name)
            self.ran.append(name)
            job.update(results)

        return run


def _request(tmp_path: Path, **changes: Any) -> Request:
    request = Request(4.25, 6, ROWS, 2, "a sample", "this one", tmp_path / "kept.json", tmp_path / "target")
    return replace(request, **changes)


def _run(tmp_path: Path, dies_in: str = "", **changes: Any) -> tuple[Engine, Job]:
    engine, request = Engine(dies_in), _request(tmp_path, **changes)
    job = begin(request, tmp_path / "job")
    if dies_in:
        with pytest.raises(OSError, match=dies_in):
            convert(job, request, engine.steps())
    else:
        convert(job, request, engine.steps())
        assert engine.models == ["loaded", "unloaded"] * (len(engine.models) // 2)
    return engine, job


def test_the_steps_run_in_the_engines_order_with_its_settings(tmp_path: Path) -> None:
    engine, job = _run(tmp_path)
    measuring, rounding = ["rows 2", "embeddings", "measure"], ["optimize", "rows 3", "embeddings", "quantize"]
    assert engine.ran == [*measuring, *rounding, "compile"]
    assert (job["bits"], job["head_bits"], job["length"]) == (4.25, 6, 3)
    assert (job["dataset_rows"], job["measurement_rows"]) == (3, 2)
    assert job["compile_full"] == str(tmp_path / "target")
    assert (tmp_path / "job" / "out_tensor").is_dir()


def test_the_measurement_is_used_again_for_other_bits(tmp_path: Path) -> None:
    _run(tmp_path)
    engine, job = _run(tmp_path, bits=3.0, identity="another job")
    assert "measure" not in engine.ran and engine.ran[0] == "optimize"
    assert job["reused"] and job["measurement"] == {"layer": [1]}
    # The measurement's share of the time falls to the rest.
    assert whole_fraction(job, "Quantizing", 0, 4) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("dies_in", "again"),
    [
        ("measure", ["rows 2", "embeddings", "measure", "optimize"]),
        ("quantize", ["optimize", "rows 3", "embeddings", "quantize"]),
        ("compile", ["compile"]),
    ],
)
def test_a_stopped_job_goes_on_from_its_last_whole_step(tmp_path: Path, dies_in: str, again: list[str]) -> None:
    _run(tmp_path, dies_in)
    # The result's folder may be another one in the second run.
    engine, job = _run(tmp_path, target=tmp_path / "second")
    assert engine.ran[: len(again)] == again and engine.ran[-1] == "compile"
    assert job["compile_full"] == str(tmp_path / "second")


def test_a_checkpoint_inside_a_step_is_handed_to_the_engine(tmp_path: Path) -> None:
    _run(tmp_path, "quantize")
    file = tmp_path / "job" / "job.json"
    stored = json.loads(file.read_text())
    del stored["invalid"]
    file.write_text(json.dumps(stored))
    job = begin(_request(tmp_path), tmp_path / "job")
    assert (job["progress"], job["q_last_module_idx"]) == ("quantize", 7)


def test_what_another_request_left_is_removed(tmp_path: Path) -> None:
    _run(tmp_path, "compile")
    (tmp_path / "job" / "out_tensor" / "old.safetensors").touch()
    job = begin(_request(tmp_path, identity="other settings"), tmp_path / "job")
    assert job["progress"] == "begin"
    assert list((tmp_path / "job" / "out_tensor").iterdir()) == []


def test_stages_of_the_engine_become_one_rising_fraction(tmp_path: Path) -> None:
    job = begin(_request(tmp_path), tmp_path / "job")
    stages = [("Measuring", 0), ("Measuring", 4), ("Optimizing", 4), ("Quantizing", 2), ("Compiling", 4)]
    found = [whole_fraction(job, stage, done, 4) for stage, done in stages]
    assert found == sorted(found, key=lambda value: value or 0) and (found[0], found[-1]) == (0, 1)
    assert whole_fraction(job, "Tokenizing (1)", 0, 1) is None


def test_settings_become_a_request_and_a_measurement_has_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.exllamav2.quantizer.version", lambda package: "0.3.2")
    card = {"source": {"sha256": "ab"}, "calibration": {"source": "chats.jsonl"}}
    command = Quantize("1", "exl2", "s", "t", "n", card=card, measurements="kept")

    def made(**settings: Any) -> Request:
        return make_request(command, build(Exl2Settings, settings), ROWS)

    plain, fewer = made(bits="4.65", head_bits="8"), made(bits=3)
    assert (plain.bits, plain.head_bits, plain.measured_rows, plain.text) == (4.65, 8, 16, "chats.jsonl")
    assert plain.measurement == fewer.measurement and plain.measurement.parent == Path("kept")
    assert plain.identity != fewer.identity
    assert made(measurement_samples=1).measurement != plain.measurement
    assert EXL2.label(build(Exl2Settings, {"bits": "4.65"})) == "exl2-4.65bit"
    with pytest.raises(SettingError, match="Bits a weight"):
        made(bits=1.5)


def test_calibration_pieces_become_rows_of_one_length() -> None:
    pieces = [[1, 2], [3], [4, 5, 6, 7]]
    assert rows_of_one_length(pieces, 3) == [[1, 2, 3], [4, 5, 6]]
    assert rows_of_one_length(pieces, 512) == [[1, 2, 3, 4, 5, 6, 7]]


def test_the_result_has_the_sources_files_and_no_index_of_other_weights(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "config.json").write_text('{"rope_parameters": {"rope_theta": 5}}')
    (source / "tokenizer.json").write_text("{}")
    for name in ("output-00001-of-00002.safetensors", "model.safetensors.index.json", "notes.txt"):
        (target / name).write_text("")
    (target / "config.json").write_text('{"rope_theta": 5, "quantization_config": {"quant_method": "exl2"}}')
    tidy(source, target)
    names = sorted(file.name for file in target.iterdir())
    assert names == ["config.json", "output-00001-of-00002.safetensors", "tokenizer.json"]
    config = json.loads((target / "config.json").read_text())
    assert config == {"rope_parameters": {"rope_theta": 5}, "quantization_config": {"quant_method": "exl2"}}


class Tensor:
    """As much of a tensor of torch as the logits pass through."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __getitem__(self, key: Any) -> Tensor:
        return Tensor(self.values[key])

    def float(self) -> Tensor:
        return Tensor(self.values.astype(np.float32))

    def cpu(self) -> Tensor:
        return self

    def contiguous(self) -> Tensor:
        return Tensor(np.ascontiguousarray(self.values))

    def numpy(self) -> Any:
        return self.values


def _loaded(logits: Any, **model: Any) -> LoadedModel:
    config = SimpleNamespace(max_input_len=8, vocab_size=3)

    def forward(ids: Any, cache: Any, loras: Any) -> Tensor:
        assert (ids, cache, loras) == ([[5, 6, 7, 8]], None, ["adapter"])
        return Tensor(logits)

    fields = {"config": config, "tp_context": None, "forward": forward, **model}
    parts = SimpleNamespace(model=SimpleNamespace(**fields), generator=SimpleNamespace(current_loras=["adapter"]))
    return cast(LoadedModel, parts)


TORCH = SimpleNamespace(tensor=lambda rows, dtype: rows, long=None)


def test_the_logits_of_a_window_are_those_before_each_token_without_the_padding(tmp_path: Path) -> None:
    logits = np.arange(16, dtype=np.float16).reshape(1, 4, 4)  # one of the four columns is padding
    answer = write_logits(TORCH, _loaded(logits), [5, 6, 7, 8], 2, tmp_path / "logits")
    found = np.fromfile(tmp_path / "logits", dtype=np.float32).reshape(answer["rows"], answer["vocabulary"])
    assert found.tolist() == [[4, 5, 6], [8, 9, 10]]


def test_a_window_that_the_engine_cannot_read_at_once_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--set window=8, or raise Batch: --set batch=9"):
        write_logits(TORCH, _loaded(None), [1] * 9, 1, tmp_path / "logits")
    with pytest.raises(Unsupported, match="tensor_parallel=false"):
        write_logits(TORCH, _loaded(None, tp_context=object()), [1, 2], 1, tmp_path / "logits")
