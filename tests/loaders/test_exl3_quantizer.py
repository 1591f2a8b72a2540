"""EXL3 without a card: the converter's arguments, checkpoints, progress, and what of the result is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loaders.exllamav3.progress_lines import ProgressLines
from loaders.exllamav3.quantization import EXL3, Exl3Settings
from loaders.exllamav3.quantizer import arguments, prepare_folder, tidy
from modules.protocol.commands import Quantize
from modules.protocol.schema import build

CARD = {"source": {"sha256": "ab"}, "calibration": {"sha256": "cd"}}


def test_settings_become_the_converters_arguments(tmp_path: Path) -> None:
    settings = build(Exl3Settings, {"bits": "3.25", "head_bits": "8"})
    given = arguments(Path("/in"), Path("/out"), tmp_path, settings, [[1, 2], [3, 4, 5]], False)
    assert dict(zip(given[::2], given[1::2], strict=True)) == {
        "--in_dir": "/in",
        "--out_dir": "/out",
        "--work_dir": str(tmp_path),
        "--bits": "3.25",
        "--head_bits": "8",
        "--cal_data": str(tmp_path / "calibration.safetensors"),
        "--cal_rows": "2",
        "--cal_cols": "3",
    }
    assert arguments(Path("/in"), Path("/out"), tmp_path, settings, [[1]], True)[-1] == "--resume"
    assert EXL3.label(settings) == "exl3-3.25bit"


def _leave_checkpoint(folder: Path) -> None:
    (folder / "ckpt").mkdir()
    for file in (folder / "ckpt" / "job.json", folder / "args.json", folder / "calibration.safetensors"):
        file.touch()


def test_a_stopped_job_goes_on_from_its_checkpoint_and_another_job_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loaders.exllamav3.quantizer.version", lambda package: "1.6.5")
    folder = tmp_path / "work"

    def prepare(**settings: Any) -> bool:
        return prepare_folder(folder, Quantize("1", "exl3", "s", "t", "n", card=CARD), build(Exl3Settings, settings))

    assert not prepare()
    _leave_checkpoint(folder)
    assert prepare()
    (folder / "ckpt" / "job.json").unlink()  # killed while the engine renamed its checkpoints
    assert not prepare()
    assert [file.name for file in folder.iterdir()] == ["identity.txt"]
    _leave_checkpoint(folder)
    assert not prepare(bits=3)
    assert not (folder / "args.json").exists()


def test_lines_of_the_converter_become_progress(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[str, float | None]] = []
    lines = ProgressLines(4, lambda text, fraction: seen.append((text, fraction)), 0.1, 0.9)
    whole = (
        " -- Quantized: model.embed_tokens     no_weights  [0.01 s]\n"
        " -- Quantized: model.layers.0     bpw:  4.00  rfn: 0.010000\n"
        "     - other lines\n"
        " -- Quantized: model.layers.3     bpw:  4.00\n"
        " -- Quantized: vision.blocks.11     bpw:  6.00\n"
    )
    # It flushes its progress bars in the middle of a line.
    for begin in range(0, len(whole), 7):
        lines.write(whole[begin : begin + 7])
    assert [text for text, _ in seen] == ["Quantized layer 1 of 4", "Quantized layer 4 of 4"]
    assert [fraction for _, fraction in seen] == pytest.approx([0.3, 0.9])
    assert capsys.readouterr().err == whole


def test_of_the_result_only_what_belongs_to_a_model_is_kept(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "tokenizer.json").write_text("{}")
    kept = ["config.json", "model-00001-of-00002.safetensors", "quantization_config.json"]
    for name in [*kept, "other.gguf", "notes.txt"]:
        (target / name).write_text("")
    tidy(source, target)
    assert sorted(file.name for file in target.iterdir()) == [*kept, "tokenizer.json"]
