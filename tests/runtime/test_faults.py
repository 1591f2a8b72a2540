"""A worker that misbehaves: what the host makes of it. The engine is the echo loader, in a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from modules.app import App
from modules.protocol.errors import ModelError, OutOfMemory, PaddockError, PromptError
from modules.protocol.sampling import SamplingParams

pytestmark = pytest.mark.slow

PATIENCE = 90.0


def _worker(app: App) -> psutil.Process:
    pid = app.supervisor.worker_pid()
    assert pid is not None
    return psutil.Process(pid)


@pytest.mark.parametrize(("behaviour", "cause"), [("crash", "crashed (SIGSEGV)"), ("exit", "exited with status 3")])
def test_a_worker_that_dies_in_mid_answer_keeps_the_text_and_says_why(app: App, behaviour: str, cause: str) -> None:
    # Text of the last hundredths of a second gathers in the worker and dies with it, so the words must come apart.
    app.models.load("tiny", "echo", {"delay": 0.1})
    generation = app.supervisor.generate(f"one two three four five six !{behaviour}", SamplingParams())
    assert generation.wait(PATIENCE)
    assert generation.text == "one two three four"
    assert generation.error is not None
    assert cause in generation.error.message
    assert "text so far is kept" in generation.error.message.lower()
    assert app.supervisor.state.phase == "failed"


def test_a_worker_killed_from_outside_is_named_as_killed_and_can_be_loaded_again(echo: App) -> None:
    generation = echo.supervisor.generate("go !long", SamplingParams(max_new_tokens=1_000_000))
    next(generation.follow())
    os.kill(_worker(echo).pid, signal.SIGKILL)
    assert generation.wait(PATIENCE)
    assert generation.text
    assert generation.error is not None
    assert "SIGKILL" in generation.error.message
    echo.models.load("tiny", "echo", {})
    again = echo.supervisor.generate("still here", SamplingParams())
    assert again.wait(PATIENCE)
    assert again.text == "still here"


def test_what_an_engine_started_ends_with_a_worker_that_is_killed(app: App) -> None:
    app.models.load("tiny", "echo", {"on_load": "child"})
    (child,) = _worker(app).children()
    os.kill(_worker(app).pid, signal.SIGKILL)
    _, alive = psutil.wait_procs([child], timeout=PATIENCE)
    assert not alive


def test_what_a_killed_worker_kept_on_disk_goes_with_it(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    app.models.load("tiny", "echo", {"delay": 0.1})
    (folder,) = tmp_path.glob("paddock-worker-*")
    assert _worker(app).environ()["TMPDIR"] == str(folder)
    (folder / "layers").write_text("left behind")
    generation = app.supervisor.generate("go !long", SamplingParams(max_new_tokens=1_000_000))
    next(generation.follow())
    os.kill(_worker(app).pid, signal.SIGKILL)
    assert generation.wait(PATIENCE) and generation.error is not None
    assert not folder.exists()


def test_out_of_memory_in_mid_answer_names_the_settings_to_lower(echo: App) -> None:
    generation = echo.supervisor.generate("a b c d e f !memory", SamplingParams())
    assert generation.wait(PATIENCE)
    assert isinstance(generation.error, OutOfMemory)
    assert generation.error.lower == ("context",)
    assert generation.text == "a b c d"


def test_a_load_that_runs_out_of_memory_can_be_retried_with_less(app: App) -> None:
    with pytest.raises(OutOfMemory):
        app.models.load("tiny", "echo", {"context": 2048, "on_load": "memory"})
    assert app.supervisor.state.phase == "failed"
    with pytest.raises(OutOfMemory):
        app.models.load_lower()
    assert getattr(app.supervisor.state.settings, "context", 0) == 1024


@pytest.mark.parametrize("behaviour", ["crash", "exit"])
def test_a_worker_that_dies_while_loading_is_a_sentence(app: App, behaviour: str) -> None:
    with pytest.raises(PaddockError, match="Echo (crashed|exited)"):
        app.models.load("tiny", "echo", {"on_load": behaviour})
    assert app.supervisor.state.phase == "failed"
    app.models.load("tiny", "echo", {})
    assert app.supervisor.state.phase == "ready"


def test_a_refused_load_says_what_the_engine_said(app: App) -> None:
    with pytest.raises(ModelError, match="The echo loader refuses"):
        app.models.load("tiny", "echo", {"on_load": "refuse"})


def test_a_load_that_hangs_can_be_ended_by_unload(app: App) -> None:
    loading = threading.Event()
    app.supervisor.state_store.subscribe(lambda state: loading.set() if state.fraction == 1.0 else None)
    app.models.load_in_background("tiny", "echo", {"on_load": "hang"})
    assert loading.wait(PATIENCE)
    app.supervisor.unload()
    assert app.supervisor.state.phase == "empty"
    assert app.supervisor.worker_pid() is None


def test_a_bad_prompt_fails_alone(echo: App) -> None:
    good = echo.supervisor.generate("fine !long", SamplingParams(max_new_tokens=500))
    bad = echo.supervisor.generate("!error", SamplingParams())
    assert bad.wait(PATIENCE)
    assert isinstance(bad.error, PromptError)
    assert good.wait(PATIENCE)
    assert good.finished is not None


def test_unload_ends_the_process_and_returns_its_memory(echo: App) -> None:
    worker = _worker(echo)
    assert echo.supervisor.memory_bytes() > 1_000_000
    assert echo.supervisor.unload() > 1_000_000
    assert not worker.is_running()
    assert echo.supervisor.memory_bytes() == 0


def test_unload_in_mid_answer_ends_the_answer_as_cancelled(echo: App) -> None:
    generation = echo.supervisor.generate("go !long", SamplingParams(max_new_tokens=1_000_000))
    next(generation.follow())
    echo.supervisor.unload()
    assert generation.wait(PATIENCE)
    assert generation.finished is not None
    assert generation.finished.reason == "cancelled"


def test_nothing_is_loaded_is_a_sentence_with_a_next_step(app: App) -> None:
    with pytest.raises(PaddockError, match="No model is loaded. Choose one on the Model tab"):
        app.supervisor.generate("x", SamplingParams())


def test_the_worker_dies_with_a_host_that_is_killed(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from modules.app import App; from modules.settings.config import Config;"
        "from tests.support.models import write_model_folder;"
        "t = Path(sys.argv[1]); write_model_folder(t / 'm' / 'tiny');"
        "app = App(Config(Path(sys.argv[2]), models=t / 'm', user_data=t / 'u', show_echo=True));"
        "app.models.load('tiny', 'echo', {'on_load': 'child'});"
        "print(app.supervisor.worker_pid(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(root)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdout is not None
        worker = psutil.Process(int(host.stdout.readline()))
        (child,) = worker.children()
        folder = Path(worker.environ()["TMPDIR"])
        assert folder.is_dir()
        host.kill()
    _, alive = psutil.wait_procs([worker, child], timeout=PATIENCE)
    assert not alive
    assert not folder.exists()
