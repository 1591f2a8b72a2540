"""How a job ends, well or badly: what is in models/, and what the store says. The engine is the echo loader."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.files.paths import write_atomically
from modules.jobs.job_run import JobCancelled
from modules.jobs.job_spec import JobError, JobSpec, JobState
from modules.jobs.quantize import plan_quantize
from modules.jobs.service import Jobs
from modules.jobs.store import JobStore
from modules.protocol.errors import PaddockError, SettingError
from modules.settings.config import Config
from tests.support.commands import run_command
from tests.support.models import write_safetensors

pytestmark = pytest.mark.slow


def _echo(**settings: str) -> JobSpec:
    return JobSpec("quantize", "tiny", method="echo", settings=settings)


def _names(config: Config) -> list[str]:
    assert config.models is not None
    return sorted(path.name for path in config.models.iterdir())


def test_a_finished_job_leaves_a_whole_model_with_a_card(app: App, config: Config) -> None:
    id = app.jobs.start(_echo())
    seen: list[JobState] = []
    results = app.jobs.run(id, seen.append)
    assert results["model"] == "tiny-echo"
    assert _names(config) == ["tiny", "tiny-echo"]
    assert "tiny-echo" in app.library.names()
    folder = app.paths.models / "tiny-echo"
    assert "SHA-256" in (folder / "README.md").read_text("utf-8")
    assert json.loads((folder / "paddock.json").read_text("utf-8"))["versions"] == {"echo": "1"}
    job = app.jobs.job(id)
    assert (job.state.status, job.state.fraction) == ("finished", 1.0)
    assert app.jobs.results(id)["notes"] == ["Nothing was quantized."]
    fractions = [state.fraction for state in seen if state.fraction is not None]
    assert fractions == sorted(fractions)
    assert any(state.seconds_left is not None for state in seen)
    assert "Copied half of the model" in app.jobs.log(id)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has classes of priority instead of numbers.")
def test_a_chat_goes_before_the_worker_of_a_job(app: App) -> None:
    found: list[int] = []
    groups: list[str] = []
    # A model that another test of this run keeps loaded has a worker too, of an ordinary priority.
    others = set(psutil.Process().children(recursive=True))

    def look(state: JobState) -> None:
        if state.step == "Copied half of the model":
            processes = set(psutil.Process().children(recursive=True)) - others
            workers = [process for process in processes if "modules.worker" in process.cmdline()]
            found.extend(process.nice() for process in workers)
            files = [Path(f"/proc/{process.pid}/autogroup") for process in workers]
            groups.extend(file.read_text() for file in files if file.exists())

    app.jobs.run(app.jobs.start(_echo()), look)
    assert found
    assert min(found) >= 5
    assert all(group.rstrip().endswith("nice 5") for group in groups)


def test_a_name_that_is_taken_gets_a_number(app: App) -> None:
    names = [app.jobs.run(app.jobs.start(_echo()))["model"] for _ in range(2)]
    assert names == ["tiny-echo", "tiny-echo-2"]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [("refuse", "refuses this model"), ("crash", "was killed by another process"), ("full", "No space left on device")],
)
def test_a_job_that_fails_leaves_nothing_in_models(app: App, config: Config, behaviour: str, words: str) -> None:
    id = app.jobs.start(_echo(behaviour=behaviour))
    with pytest.raises(PaddockError, match=words):
        app.jobs.run(id)
    assert _names(config) == ["tiny"]
    state = app.jobs.job(id).state
    assert state.status == "failed"
    assert words in state.message
    assert words in app.jobs.log(id)


def test_an_engine_that_loses_the_words_of_a_full_disk_is_understood(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    id = app.jobs.start(_echo(behaviour="refuse"))
    monkeypatch.setattr("modules.jobs.job_run._are_full", lambda folders: bool(folders))
    with pytest.raises(JobError, match=f"The disk is full .* jobs resume {id}") as full:
        app.jobs.run(id)
    assert "refuses this model" in full.value.detail


@pytest.mark.parametrize(("behaviour", "status"), [("", "finished"), ("full", "failed")])
def test_a_disk_that_takes_no_state_ends_no_job_and_its_end_is_stored_later(
    app: App, monkeypatch: pytest.MonkeyPatch, behaviour: str, status: str
) -> None:
    id = app.jobs.start(_echo(behaviour=behaviour) if behaviour else _echo())

    def no_space(path: Path, content: str | bytes) -> None:
        if path.name == "state.json":
            raise PaddockError("state.json could not be saved.")
        write_atomically(path, content)

    def fill(state: JobState) -> None:
        monkeypatch.setattr("modules.jobs.store.write_atomically", no_space)

    monkeypatch.setattr("modules.jobs.job_run._WRITE_SECONDS", 0.0)
    with contextlib.nullcontext() if status == "finished" else pytest.raises(PaddockError, match="No space left"):
        app.jobs.run(id, fill)
    assert app.jobs.job(id).state.status == status
    assert JobStore(app.paths.jobs).job(id).state.status == "running"
    monkeypatch.undo()
    assert app.jobs.job(id).state.status == status
    assert JobStore(app.paths.jobs).job(id).state.status == status


def test_a_full_disk_at_the_start_does_not_hinder_jobs_that_a_host_left(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = app.jobs.start(_echo())

    def no_space(path: Path, content: str | bytes) -> None:
        raise PaddockError(f"{path.name} could not be saved.")

    monkeypatch.setattr("modules.jobs.store.write_atomically", no_space)
    (job,) = Jobs(app.jobs.resources).list()
    assert (job.id, job.state.status) == (id, "failed")
    assert "Run it again" in job.state.message


def test_cancel_ends_the_job_and_leaves_nothing(app: App, config: Config) -> None:
    id = app.jobs.start(_echo(behaviour="hang"))

    def cancel(state: JobState) -> None:
        if state.step == "Copied half of the model":
            threading.Thread(target=app.jobs.cancel, args=(id,)).start()

    with pytest.raises(JobCancelled):
        app.jobs.run(id, cancel)
    assert _names(config) == ["tiny"]
    assert app.jobs.job(id).state.status == "cancelled"
    with pytest.raises(JobError, match="nothing to cancel"):
        app.jobs.cancel(id)


@pytest.mark.parametrize("victim", ["host", "worker"])
def test_kill_leaves_no_half_folder_and_a_job_that_says_so(root: Path, config: Config, victim: str) -> None:
    where = ["--no-venv", "--show-echo", "--models", str(config.models), "--user-data", str(config.user_data)]
    command = ["quantize", "tiny", "--method", "echo", "--set", "behaviour=hang", "--json", *where]
    host = subprocess.Popen([sys.executable, "webui.py", *command], cwd=root, stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    line = next(line for line in host.stdout if "Copied half" in line)
    id = json.loads(line)["job"]
    processes = psutil.Process(host.pid).children(recursive=True)
    workers = [process for process in processes if "modules.worker" in process.cmdline()]
    (host if victim == "host" else workers[0]).send_signal(signal.SIGKILL)
    host.wait()
    host.stdout.close()
    assert not psutil.wait_procs(processes, timeout=30)[1]
    app = build_app(config)
    try:
        state = app.jobs.job(id).state
        assert state.status == "failed"
        assert state.message
        assert _names(config) == ["tiny"]
        app.jobs.check_resumable(id)
    finally:
        app.close()


def test_a_failed_job_runs_again(app: App) -> None:
    id = app.jobs.start(_echo(behaviour="refuse"))
    with pytest.raises(PaddockError):
        app.jobs.run(id)
    app.jobs.check_resumable(id)
    with pytest.raises(PaddockError):
        app.jobs.run(id)
    finished = app.jobs.start(_echo())
    app.jobs.run(finished)
    with pytest.raises(JobError, match="is finished"):
        app.jobs.check_resumable(finished)


def test_checkpoints_that_are_on_the_disk_already_need_no_more_room(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    id = app.jobs.start(_echo(behaviour="resume"))
    with pytest.raises(PaddockError, match="stops halfway"):
        app.jobs.run(id)
    needed = plan_quantize(_echo(), app.jobs.resources).needed_bytes
    # Room for the result and one byte less than its parts, beside what is always kept free.
    free = 2 * needed - 1 + (64 << 20)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(total=free, used=0, free=free))
    with pytest.raises(JobError, match="This job needs about .* are free"):
        app.jobs.run(id)
    (app.paths.jobs / id / "checkpoints" / "layer").write_bytes(b"x")
    assert app.jobs.run(id)["model"] == "tiny-echo"


def test_a_method_that_resumes_finds_what_it_kept_until_the_job_has_finished(app: App, config: Config) -> None:
    id = app.jobs.start(_echo(behaviour="resume"))
    with pytest.raises(PaddockError, match="stops halfway"):
        app.jobs.run(id)
    assert _names(config) == ["tiny"]
    assert (app.paths.jobs / id / "checkpoints" / "half").exists()
    assert app.jobs.run(id)["notes"] == ["An earlier run was here."] * 2
    assert not (app.paths.jobs / id / "checkpoints").exists()
    another = app.jobs.start(_echo(behaviour="resume"))
    with pytest.raises(PaddockError, match="stops halfway"):
        app.jobs.run(another)
    # What was measured of a model is for all jobs.
    assert (app.paths.measurements / "echo" / "tiny").exists()


def test_a_method_for_another_card_is_refused_with_the_sentence(app: App, config: Config) -> None:
    if app.environments.machine.has("cuda"):
        pytest.skip("This machine has CUDA.")
    with pytest.raises(JobError, match="ExLlamaV2 needs CUDA, which this machine does not have."):
        app.jobs.start(JobSpec("quantize", "tiny", method="exl2"))
    assert app.jobs.list() == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (JobSpec("quantize", "nope", method="echo"), "There is no model named 'nope'"),
        (JobSpec("quantize", "tiny", method="gptt"), "There is no method 'gptt'. The methods are: awq, bnb, echo"),
        (JobSpec("quantize", "tiny", method="echo", settings={"bit": "4"}), "There is no setting named 'bit'"),
        (JobSpec("quantize", "tiny", method="echo", name="../x"), "is not a valid name"),
        (JobSpec("quantize", "tiny", method="echo", name="tiny"), "There is a model named tiny already"),
        (JobSpec("quantize", "tiny", method="hqq", settings={"group_size": "64"}), "does not divide the hidden size 8"),
        (JobSpec("quantize", "tiny", method="gguf", settings={"type": "Q9"}), "Type (type) cannot be 'Q9'"),
        (
            JobSpec("quantize", "tiny", method="gptq", settings={"sym": "7"}),
            "Symmetric (sym) cannot be '7'. It takes true",
        ),
        (JobSpec("evaluate", "tiny", settings={"mode": "other"}), "Mode (mode) cannot be 'other'"),
        (JobSpec("evaluate", "tiny", settings={"windows": "64"}), "There is no setting named 'windows'"),
        (
            JobSpec("compare", "tiny", models=["tiny", "tiny"], settings={"stride": "0"}),
            "Stride (stride) cannot be '0'",
        ),
        (JobSpec("compare", "tiny", models=["tiny", "tiny"]), "The same model is there twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_a_sentence_before_the_job_begins(app: App, config: Config, spec: JobSpec, words: str) -> None:
    with pytest.raises((PaddockError, SettingError)) as caught:
        app.jobs.start(spec)
    assert words in caught.value.message
    assert app.jobs.list() == []
    assert _names(config) == ["tiny"]


# Methods for which this machine lacks a card are refused for that.
METHODS = ("awq", "bnb", "echo", "exl2", "exl3", "gguf", "gptq", "hqq", "w8a8")


@pytest.mark.parametrize("method", METHODS)
def test_a_source_that_is_quantized_already_is_refused(app: App, method: str) -> None:
    packed = {"model.layers.0.mlp.up_proj.weight": [8, 8], "model.layers.0.mlp.up_proj.SCB": [8]}
    write_safetensors(app.paths.models / "tiny" / "model.safetensors", packed)
    with pytest.raises(
        JobError, match=r"quantized already \(BITSANDBYTES\).* Choose the original|Choose another method"
    ):
        app.jobs.start(JobSpec("quantize", "tiny", method=method))
    assert app.jobs.list() == []


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("gptq", {"group_size": "64"}, "Sizes that work: -1, 16, 32."),
        ("hqq", {"group_size": "64"}, "Sizes that work: 8, 16, 32."),
        ("w8a8", {"group_size": "64", "scheme": "W4A16"}, "Sizes that work: 32."),
    ],
)
def test_groups_that_do_not_divide_a_layer_are_named_with_sizes_that_the_method_takes(
    app: App, method: str, settings: dict[str, str], words: str
) -> None:
    shapes = {"model.layers.0.mlp.up_proj.weight": [96, 64], "model.layers.0.mlp.down_proj.weight": [64, 96]}
    write_safetensors(app.paths.models / "tiny" / "model.safetensors", shapes)
    with pytest.raises(JobError) as refused:
        app.jobs.start(JobSpec("quantize", "tiny", method=method, settings=settings))
    assert refused.value.message == f"Group size (group_size) 64 does not divide the width 96 of tiny. {words}"
    assert app.jobs.list() == []


def test_awq_names_a_layer_whose_outputs_it_cannot_take(app: App) -> None:
    write_safetensors(app.paths.models / "tiny" / "model.safetensors", {"model.layers.0.mlp.up_proj.weight": [96, 64]})
    with pytest.raises(JobError, match="AWQ takes 64 outputs of a layer at a time, and tiny has layers with 96"):
        app.jobs.start(JobSpec("quantize", "tiny", method="awq", settings={"group_size": "32"}))
    shapes = {"model.layers.0.mlp.up_proj.weight": [64, 96]}
    write_safetensors(app.paths.models / "tiny" / "model.safetensors", shapes)
    with pytest.raises(JobError, match=r"64 does not divide the width 96 of tiny\. Sizes that work: 16, 32\."):
        app.jobs.start(JobSpec("quantize", "tiny", method="awq", settings={"group_size": "64"}))


def test_a_full_disk_is_told_before_the_job_begins(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("modules.jobs.quantize.shutil.disk_usage", lambda path: Usage)
    with pytest.raises(JobError, match="Free some disk space"):
        app.jobs.start(_echo())


def test_the_command_line_lists_and_shows_jobs(root: Path, config: Config) -> None:
    where = ["--no-venv", "--show-echo", "--models", str(config.models), "--user-data", str(config.user_data)]

    def webui(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_command(root, *arguments, *where)

    made = webui("quantize", "tiny", "--method", "echo", "--json")
    lines = [json.loads(line) for line in made.stdout.splitlines()]
    assert lines[0] == {
        "type": "progress",
        "job": None,
        "step": "Planning: Quantizing tiny with echo",
        "fraction": None,
        "seconds_left": None,
    }
    assert lines[1]["type"] == "plan"
    assert {line["type"] for line in lines[2:-1]} == {"progress"}
    assert (lines[-1]["type"], lines[-1]["model"]) == ("finished", "tiny-echo")
    (job,) = json.loads(webui("jobs", "list", "--json").stdout)
    assert (job["id"], job["status"], job["kind"]) == ("1", "finished", "quantize")
    assert "Copied all of the model" in json.loads(webui("jobs", "show", "1", "--json").stdout)["log"]
    missing = webui("jobs", "show", "7")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "There is no job '7'. The jobs are: 1." in missing.stderr
