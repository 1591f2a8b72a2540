"""GGUF jobs from source to answer: few bits with an importance matrix, parts, and files that are quantized again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.jobs.job_spec import JobError, JobSpec
from modules.library.trash import ModelTrash
from modules.protocol.sampling import SamplingParams
from modules.settings.config import Config
from tests.jobs.test_methods import ANSWER, QUESTION

ROOT = Path(__file__).resolve().parent.parent.parent
_CALIBRATION = {"imatrix": "auto", "samples": "16", "length": "256"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an App whose models folder holds the demo as a folder and as GGUF in 8 bits."""
    folder = tmp_path_factory.mktemp("gguf")
    (folder / "models").mkdir()
    for name in ("demo", "demo.Q8_0.gguf"):
        (folder / "models" / name).symlink_to(ROOT / "models" / name)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    app = build_app(Config(ROOT, port=0, models=folder / "models", user_data=folder / "user"))
    yield app
    app.close()


def _run(app: App, model: str, **settings: str) -> dict[str, object]:
    spec = JobSpec("quantize", model, method="gguf", loader="xllamacpp", settings=settings)
    return app.jobs.run(app.jobs.start(spec))


def _answer(app: App, model: str) -> str:
    app.models.load(model, "xllamacpp", {})
    prompt = app.supervisor.chat_prompt([{"role": "user", "content": QUESTION}]).prompt
    generation = app.supervisor.generate(prompt, SamplingParams(max_new_tokens=80, temperature=0, do_sample=False))
    text = "".join(generation.follow())
    assert generation.error is None
    return text


def test_below_four_bits_the_checks_say_what_a_model_is_worth(app: App) -> None:
    steps: list[tuple[str, float | None]] = []
    spec = JobSpec("quantize", "demo", method="gguf", settings={"type": "IQ2_XS", **_CALIBRATION})
    made = app.jobs.run(app.jobs.start(spec), lambda state: steps.append((state.step, state.fraction)))
    assert made["bits_per_weight"] < 3.3
    fractions = [fraction for _, fraction in steps if fraction is not None]
    assert fractions == sorted(fractions)
    assert any(step == "Computing the importance matrix: sample 9 of 16" for step, _ in steps)
    assert any(step == "Writing blk.3.ffn_up.weight as IQ2_XS" for step, _ in steps)
    evaluated = {"tokens": "512", "speed": "false"}
    found = app.jobs.run(app.jobs.start(JobSpec("evaluate", str(made["model"]), settings=evaluated, against="demo")))
    checks = {check["name"]: check for check in found["checks"]}
    assert found["kl"] > 0.1
    assert checks["numbers"]["passed"]
    assert checks["smaller"]["passed"]
    assert checks["same_start"]["passed"] == _answer(app, str(made["model"])).startswith(ANSWER[:40])
    for check in checks.values():
        assert check["passed"] or "more bits" in check["detail"].lower(), check


def test_a_model_in_parts_is_one_model(app: App, tmp_path: Path) -> None:
    made = _run(app, "demo", type="Q4_K_M", split_size="1MB")
    name = str(made["model"])
    assert name == "demo-Q4_K_M"
    folder = app.paths.models / name
    assert len(list(folder.glob("demo-Q4_K_M-0000?-of-00004.gguf"))) == 4
    assert app.library.facts(name).size_bytes == sum(file.stat().st_size for file in folder.glob("*.gguf"))
    assert [found for found in app.library.names() if found.startswith(name)] == [name]
    assert _answer(app, name) == ANSWER
    app.supervisor.unload()
    trash = ModelTrash(tmp_path / "trash", app.paths.models, app.library)
    id = trash.discard(name)
    assert not folder.exists()
    assert trash.restore(id) == name
    assert len(list(folder.glob("*.gguf"))) == 4
    again = _run(app, name, type="Q4_0", requantize="true")
    assert again["model"] == "demo-Q4_K_M-Q4_0.gguf"


def test_lines_of_calibration_text_that_are_broken_are_counted_and_named_in_the_result(
    app: App, tmp_path: Path
) -> None:
    file = tmp_path / "lines.jsonl"
    rows = [json.dumps({"text": f"A line of text with the number {number}. " * 8}) for number in range(40)]
    file.write_text("\n".join([*rows[:20], "{", '{"body": "x"}', *rows[20:]]), encoding="utf-8")
    spec = JobSpec(
        "quantize", "demo", method="gguf", loader="xllamacpp", settings={"type": "Q4_0", **_CALIBRATION}, text=str(file)
    )
    notes = app.jobs.run(app.jobs.start(spec))["notes"]
    assert f"2 rows were passed over in {file}." in notes
    assert [note.split(":")[0] for note in notes if "lines.jsonl line" in note] == [
        "lines.jsonl line 21",
        "lines.jsonl line 22",
    ]


def test_a_quantized_file_is_quantized_again_only_where_that_is_asked_for(app: App) -> None:
    with pytest.raises(JobError, match="is quantized already .*If there is no original: --set requantize=true"):
        _run(app, "demo.Q8_0.gguf", type="Q4_K_M")
    made = _run(app, "demo.Q8_0.gguf", type="Q4_K_M", requantize="true")
    assert made["model"] == "demo.Q8_0-Q4_K_M.gguf"
    assert _answer(app, str(made["model"])) == ANSWER


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"type": "IQ2_XS"}, "IQ2_XS needs an importance matrix. .*--set imatrix=auto. Or name a file .*imatrix=PATH"),
        ({"type": "IQ2_XS", "imatrix": "/nowhere/it.dat"}, "There is no importance matrix at /nowhere/it.dat"),
    ],
)
def test_a_missing_matrix_is_a_sentence_before_the_job_begins(app: App, settings: dict[str, str], words: str) -> None:
    with pytest.raises(JobError, match=words):
        _run(app, "demo", **settings)
