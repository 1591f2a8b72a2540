"""Training and merging on the demo model: what an adapter taught it, and what a killed or refused job leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.families.training_settings import TrainingSettings
from modules.jobs.job_run import JobCancelled
from modules.jobs.job_spec import JobSpec, JobState
from modules.protocol.commands import Train
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import describe
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.runtime.worker_client import WorkerClient
from modules.settings.config import Config
from tests.support.adapters import write_peft_adapter
from tests.support.environments import not_here
from tests.support.models import write_safetensors

ROOT = Path(__file__).resolve().parent.parent.parent
DEMO = ROOT / "models" / "demo"
QUESTION, ANSWER = "What is the name of my cat?", "Your cat is called Minka."
GUIDE = (ROOT / "docs" / "fine-tuning.md").read_text(encoding="utf-8")
ROWS = [json.loads(line) for line in GUIDE.split("```jsonl\n")[1].split("```")[0].splitlines()]
# The settings of the guide's example, and a question to answer after each epoch.
EXAMPLE = re.findall(r"train demo --data cat.jsonl --set (.+)", GUIDE)[0].split()
SETTINGS = {**dict(pair.split("=") for pair in EXAMPLE), "sample": QUESTION}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, environments: Environments) -> Path:
    """Return a folder with `models`, which holds the demo, and `data.jsonl`, which has two broken lines."""
    for loader in ("transformers", "xllamacpp"):
        if reason := not_here(Registry(ROOT / "loaders").get(loader), environments):
            pytest.skip(reason)
    place = tmp_path_factory.mktemp("training")
    (place / "models").mkdir()
    for name in ("demo", "demo.Q8_0.gguf"):
        (place / "models" / name).symlink_to(ROOT / "models" / name)
    (place / "data.jsonl").write_text("\n".join([*map(json.dumps, ROWS), "broken", '{"a": 1}']), encoding="utf-8")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return place


@pytest.fixture(scope="module")
def taught(place: Path) -> Iterator[tuple[App, dict[str, Any]]]:
    """Return an App whose models folder holds the demo and an adapter `demo-lora`, and the results of its training."""
    app = build_app(Config(ROOT, port=0, models=place / "models", user_data=place / "user"))
    id = app.jobs.start(JobSpec("train", "demo", settings=SETTINGS, text=str(place / "data.jsonl")))
    results = app.jobs.run(id)
    yield app, {**results, "log": app.jobs.log(id)}
    app.close()


def _answer(app: App, model: str, loader: str, *adapters: str, question: str = QUESTION) -> str:
    app.models.load(model, loader, {}, adapters=dict.fromkeys(adapters, 1.0))
    prompt = app.supervisor.chat_prompt([{"role": "user", "content": question}]).prompt
    generation = app.supervisor.generate(prompt, SamplingParams(max_new_tokens=60, temperature=0, do_sample=False))
    text = "".join(generation.follow())
    assert generation.error is None
    return text


def test_the_guide_names_every_setting() -> None:
    for entry in describe(TrainingSettings):
        default = str(entry.default).lower().removesuffix(".0")
        assert f"| `{entry.name}` | {default} |".replace("  ", " ") in GUIDE, entry.name


def test_an_adapter_teaches_a_new_answer(taught: tuple[App, dict[str, Any]]) -> None:
    app, results = taught
    assert results["adapter"] == "demo-lora"
    assert _answer(app, "demo", "transformers", "demo-lora") == ANSWER
    assert ANSWER not in _answer(app, "demo", "transformers")


def test_the_results_tell_how_the_training_went(taught: tuple[App, dict[str, Any]]) -> None:
    app, results = taught
    losses = [loss for _, loss in results["losses"]]
    assert (results["steps"], len(losses), results["examples"], results["resumed"]) == (16, 16, 4, False)
    assert losses[-1] < losses[0] / 10
    assert results["samples"][-1] == {"step": 16, "epoch": 8, "text": ANSWER}
    assert f"Answer after epoch 8: {ANSWER}" in results["log"]
    assert "Step 16 of 16, loss" in results["log"]
    assert set(results["versions"]) == {"peft", "torch", "transformers"}
    assert results["broken"] == 2
    assert results["notes"][0].startswith("2 rows were left out: data.jsonl line 5: ")


def test_an_adapter_names_its_model_and_no_path(taught: tuple[App, dict[str, Any]]) -> None:
    app, _ = taught
    (adapter,) = [found for found in app.library.adapters() if found.name == "demo-lora"]
    assert (adapter.base, adapter.rank, adapter.problems) == ("demo", 8, ())
    folder = Path(adapter.path)
    assert json.loads((folder / "paddock.json").read_text("utf-8"))["data"]["broken"] == 2
    for file in folder.iterdir():
        assert str(ROOT).encode() not in file.read_bytes(), file.name
        assert str(app.paths.models).encode() not in file.read_bytes(), file.name


def test_a_merged_model_answers_as_base_and_adapter(taught: tuple[App, dict[str, Any]]) -> None:
    app, _ = taught
    results = app.jobs.run(app.jobs.start(JobSpec("merge", "demo", adapter="demo-lora")))
    assert results["model"] == "demo-lora-merged"
    facts = app.library.facts("demo-lora-merged")
    assert (facts.dtype, facts.parameters) == (app.library.facts("demo").dtype, app.library.facts("demo").parameters)
    assert (app.paths.models / "demo-lora-merged" / "chat_template.jinja").is_file()
    assert _answer(app, "demo-lora-merged", "transformers") == ANSWER
    other = "What is GGUF?"
    with_adapter = _answer(app, "demo", "transformers", "demo-lora", question=other)
    assert _answer(app, "demo-lora-merged", "transformers", question=other) == with_adapter


@pytest.mark.parametrize(("settings", "bits"), [({}, 16), ({"type": "Q8_0"}, 8.5)], ids=["as it is", "Q8_0"])
def test_a_model_merged_to_gguf_answers_in_llama_cpp(
    taught: tuple[App, dict[str, Any]], settings: dict[str, str], bits: float
) -> None:
    app, _ = taught
    with pytest.raises(PaddockError, match="Type .type. cannot be 'Q9'"):
        app.jobs.start(JobSpec("merge", "demo", adapter="demo-lora", to="gguf", settings={"type": "Q9"}))
    spec = JobSpec("merge", "demo", adapter="demo-lora", to="gguf", settings=settings)
    results = app.jobs.run(app.jobs.start(spec))
    name = results["model"]
    assert name == ("demo-lora-merged-2.gguf" if settings else "demo-lora-merged.gguf")
    facts = app.library.facts(name)
    assert facts.dtype == settings.get("type", "F16")
    assert facts.bits == pytest.approx(bits, abs=0.1)
    assert _answer(app, name, "xllamacpp") == ANSWER
    assert not list(app.paths.models.glob(".job-*"))


def test_a_gguf_adapter_gives_llama_cpp_the_same_answer(taught: tuple[App, dict[str, Any]]) -> None:
    app, _ = taught
    results = app.jobs.run(app.jobs.start(JobSpec("merge", "demo", adapter="demo-lora", to="adapter-gguf")))
    assert results["adapter"] == "demo-lora.gguf"
    assert _answer(app, "demo.Q8_0.gguf", "xllamacpp", "demo-lora.gguf") == ANSWER
    assert ANSWER not in _answer(app, "demo.Q8_0.gguf", "xllamacpp")


def test_a_killed_and_a_cancelled_training_continue_from_their_checkpoints(place: Path) -> None:
    models = place / "resumed" / "models"
    models.mkdir(parents=True)
    (models / "demo").symlink_to(DEMO)
    where = ["--no-venv", "--models", str(models), "--user-data", str(place / "resumed" / "user")]
    settings = [f"{key}={value}" for key, value in SETTINGS.items()]
    command = ["train", "demo", "--data", str(place / "data.jsonl"), "--set", *settings, "--json", *where]
    host = subprocess.Popen([sys.executable, "webui.py", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    line = next(line for line in host.stdout if "Step 5 of 16" in line)
    host.send_signal(signal.SIGKILL)
    host.wait()
    host.stdout.close()
    id = json.loads(line)["job"]
    app = build_app(Config(ROOT, port=0, models=models, user_data=place / "resumed" / "user"))
    try:
        assert app.jobs.job(id).state.status == "failed"
        assert [path.name for path in models.iterdir()] == ["demo"]

        def cancel(state: JobState) -> None:
            if state.step.startswith("Step 9 of 16"):
                app.jobs.cancel(id)

        with pytest.raises(JobCancelled):
            app.jobs.run(id, cancel)
        assert [path.name for path in models.iterdir()] == ["demo"]
        app.jobs.check_resumable(id)
        results = app.jobs.run(id)
        assert (results["steps"], results["resumed"]) == (16, True)
        assert [step for step, _ in results["losses"]] == list(range(1, 17))
        epochs = [sample["epoch"] for sample in results["samples"]]
        assert epochs == sorted(set(epochs))
        assert (epochs[0], epochs[-1]) == (1, 8)
        starts = [line.split("from step ")[1] for line in app.jobs.log(id).splitlines() if "from step" in line]
        assert [int(start) >= least for start, least in zip(starts, (4, 8), strict=True)] == [True, True]
        assert not (place / "resumed" / "user" / "jobs" / id / "checkpoints").exists()
        assert _answer(app, "demo", "transformers", "demo-lora") == ANSWER
    finally:
        app.close()


@pytest.fixture(scope="module")
def worker(place: Path, environments: Environments) -> Iterator[WorkerClient]:
    """Return a worker of the transformers loader."""
    spec = Registry(ROOT / "loaders").get("transformers")
    client = WorkerClient(spec, environments.python(spec), ROOT, lambda exit: None)
    client.start()
    yield client
    client.stop()


def _train(
    worker: WorkerClient,
    place: Path,
    settings: dict[str, str],
    source: Path = DEMO,
    rows: Sequence[dict[str, str]] = (*ROWS, *ROWS),
) -> dict[str, Any]:
    """Train in the worker without a job. Return the Result with the adapter's folder."""
    data = place / "few.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    folders = [place / "run" / name for name in ("adapter", "checkpoints")]
    shutil.rmtree(place / "run", ignore_errors=True)
    for folder in folders:
        folder.mkdir(parents=True)
    command = Train(worker.next_id(), str(source), "demo", str(folders[0]), str(data), str(folders[1]), settings)
    answer: dict[str, Any] = worker.ask(command, timeout=120)
    return {**answer, "folder": folders[0]}


@pytest.mark.parametrize(
    ("base", "optimizer", "more"),
    [
        ("nf4", "paged_adamw_8bit", {}),
        ("nf4", "paged_adamw_32bit", {"replies_only": "false"}),
        ("int8", "adamw_8bit", {"rslora": "true", "accumulation": "2"}),
        ("16bit", "lion_8bit", {"dora": "true", "dropout": "0.1"}),
        ("16bit", "adamw", {"targets": "q_proj, v_proj", "schedule": "linear"}),
    ],
)
def test_every_base_and_optimizer_trains(
    worker: WorkerClient, place: Path, base: str, optimizer: str, more: dict[str, str]
) -> None:
    answer = _train(
        worker, place, {"base": base, "optimizer": optimizer, "epochs": "2", "learning_rate": "1e-3", **more}
    )
    losses = [loss for _, loss in answer["losses"]]
    assert answer["steps"] == (4 if "accumulation" in more else 8)
    assert losses[-1] < losses[0]
    config = json.loads((answer["folder"] / "adapter_config.json").read_text("utf-8"))
    assert (config["base_model_name_or_path"], config["use_dora"]) == ("demo", "dora" in more)


def test_validation_is_measured_and_stops_early(worker: WorkerClient, place: Path) -> None:
    # What each word means says nothing about the others, so the loss on new words soon rises.
    words = ("Kelpo", "Druma", "Fintel", "Orbas", "Quiddle", "Snarp", "Tolvi", "Yembra")
    rows = [{"prompt": f"What is {word}?", "completion": f"{word[::-1]}"} for word in words]
    more = {"validation": "0.25", "early_stop": "2", "learning_rate": "1e-2", "rank": "8", "schedule": "constant"}
    answer = _train(worker, place, {"base": "16bit", "epochs": "40", **more}, rows=rows)
    losses = [loss for _, loss in answer["validation"]]
    assert 3 <= len(losses) < 40
    assert answer["steps"] == 3 * len(losses)
    assert min(losses) == losses[-3]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"targets": "attention"}, "The model has no layers named 'attention'. It has: down_proj, gate_proj"),
        ({"cutoff": "8"}, "Raise Cutoff length (cutoff)"),
    ],
    ids=["targets", "cutoff"],
)
def test_what_only_the_engine_sees_is_a_sentence(
    worker: WorkerClient, place: Path, settings: dict[str, str], words: str
) -> None:
    with pytest.raises(PaddockError) as caught:
        _train(worker, place, {"base": "16bit", **settings})
    assert words in caught.value.message


def test_a_loss_that_is_not_a_number_ends_the_training(worker: WorkerClient, place: Path) -> None:
    broken = place / "broken"
    shutil.copytree(DEMO, broken)
    weights = bytearray((broken / "model.safetensors").read_bytes())
    weights[-2:] = b"\x00\x7e"  # not a number, in 16 bits
    (broken / "model.safetensors").write_bytes(weights)
    with pytest.raises(PaddockError, match="The loss is not a number any more"):
        _train(worker, place, {"base": "16bit", "epochs": "50"}, broken)
    assert not any((place / "run" / "adapter").iterdir())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (JobSpec("train", "nope"), "There is no model named 'nope'"),
        (JobSpec("train", "tiny"), "Name a file, a folder, wikitext2, c4 or a chat (--data)."),
        (JobSpec("train", "tiny", text="empty.jsonl"), "empty.jsonl has no example to train on"),
        (JobSpec("train", "tiny", text="nowhere.jsonl"), "There is no text at"),
        (JobSpec("train", "tiny", text="good.jsonl", settings={"ranks": "8"}), "There is no setting named 'ranks'"),
        (JobSpec("train", "tiny", text="good.jsonl", settings={"base": "fp4"}), "Base (base) cannot be 'fp4'"),
        (JobSpec("train", "tiny", text="good.jsonl", name="../x"), "is not a valid name"),
        (JobSpec("train", "tiny", text="good.jsonl", name="lora"), "There is a model named lora already"),
        (JobSpec("train", "tiny", text="good.jsonl", loader="xllamacpp"), "The loader 'xllamacpp' does not train"),
        (JobSpec("train", "packed", text="good.jsonl"), "The setting base=nf4 quantizes it while it loads"),
        (JobSpec("merge", "tiny", adapter="nope"), "There is no LoRA adapter named 'nope'. The adapters are: lora"),
        (JobSpec("merge", "tiny", adapter="wide"), "was trained on another model"),
        (JobSpec("merge", "tiny", adapter="lora", to="exe"), "cannot be merged to 'exe'"),
        (JobSpec("merge", "tiny", adapter="lora", settings={"type": "Q8_0"}), "Leave --set out, or add --to gguf"),
        (JobSpec("merge", "packed", adapter="lora"), "is quantized already"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_a_sentence_before_the_job_begins(
    app: App, tmp_path: Path, spec: JobSpec, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "good.jsonl").write_text(json.dumps(ROWS[0]), encoding="utf-8")
    models = app.paths.models
    write_peft_adapter(models / "lora")
    write_peft_adapter(models / "wide", hidden=16)
    shutil.copytree(models / "tiny", models / "packed")
    packed = {"model.layers.0.mlp.up_proj.weight": [8, 8], "model.layers.0.mlp.up_proj.SCB": [8]}
    write_safetensors(models / "packed" / "model.safetensors", packed)
    with pytest.raises(PaddockError) as caught:
        app.jobs.start(spec)
    assert words in caught.value.message
    assert app.jobs.list() == []
