"""Threads of the host: what they do for the first time they may do together, and none of them ends unheard."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from loaders.echo.spec import SPEC as ECHO
from modules.app import App
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.runtime.environment import EnvironmentStatus
from modules.runtime.worker_client import WorkerClient
from modules.runtime.worker_exit import WorkerDied, WorkerExit
from modules.system.listeners import Listeners
from modules.system.threads import explain_errors, host_thread

PATIENCE = 60.0
# A start in small: loads that install their engines, beside a thread that asks for what zoneinfo asks for.
COLD = """
import sys, sysconfig, threading, uv
sys.setswitchinterval(1e-6)
from loaders.echo.spec import SPEC
from modules.system.pip_config import PackageSources
from modules.runtime.uv import Uv
from modules.system.threads import host_thread

installer, together, said, faults = Uv(), threading.Barrier(9), [], []

def install():
    together.wait()
    installer.run(["--version"], PackageSources(), SPEC, lambda line: said.append([line]))

def look():
    together.wait()
    said.append(sysconfig.get_config_vars("EXE", "BINDIR"))

threads = [host_thread("load", run, "Installing", faults.append) for run in (install, look) * 4]
for thread in threads:
    thread.start()
together.wait()
for thread in threads:
    thread.join()
print(len(said), sum(None in seen for seen in said), *faults)
"""


def test_threads_that_start_together_in_a_cold_interpreter_see_whole_variables(root: Path) -> None:
    for _ in range(6):
        answer = subprocess.run([sys.executable, "-c", COLD], cwd=root, capture_output=True, text=True, check=False)
        assert (answer.stdout.strip(), answer.stderr) == ("8 0", "")


def test_what_is_unexpected_is_a_sentence_for_who_waits_and_an_entry_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[PaddockError] = []

    def run() -> None:
        raise KeyError("a key\nand more")

    thread = host_thread("a thread", run, "Loading demo", heard.append)
    thread.start()
    thread.join(PATIENCE)
    (error,) = heard
    assert error.message.startswith("Loading demo failed with an unexpected error (KeyError: ")
    assert error.message.count("\n") == 0 and "Traceback" in error.detail
    assert "Loading demo failed." in caplog.text and "Traceback" in caplog.text


def test_an_error_that_is_a_sentence_already_stays_as_it_is() -> None:
    with pytest.raises(PaddockError, match=r"^Load it again\.$"), explain_errors("Loading demo"):
        raise PaddockError("Load it again.")


def test_one_listener_that_raises_does_not_keep_the_news_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    listeners, heard = Listeners[Any](), list[str]()
    listeners.add(lambda news: heard.append(news[9]))
    listeners.add(heard.append)
    listeners.notify("news")
    assert heard == ["news"] and "IndexError" in caplog.text


@pytest.mark.parametrize("broken", ["install", "load", "check"])
def test_a_load_in_the_background_that_breaks_in_an_unknown_way_is_a_failed_state(
    app: App, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def breaks(*given: object, **named: object) -> None:
        raise TypeError("can only concatenate str")

    if broken == "install":
        monkeypatch.setattr(app.environments, "status", lambda spec: EnvironmentStatus(False, app.paths.environments))
        monkeypatch.setattr(app.environments, "build", breaks)
    elif broken == "load":
        monkeypatch.setattr("modules.runtime.model_worker.WorkerClient", breaks)
    else:
        monkeypatch.setattr(app.supervisor, "check", breaks)
    failed = threading.Event()
    app.supervisor.state_store.subscribe(lambda state: failed.set() if state.phase == "failed" else None)
    if broken == "check":
        with pytest.raises(PaddockError, match="Loading tiny failed"):
            app.models.load_in_background("tiny", "echo")
    else:
        app.models.load_in_background("tiny", "echo")
    assert failed.wait(PATIENCE)
    state = app.supervisor.state
    assert (state.phase, state.model) == ("failed", "tiny")
    assert state.error is not None and "can only concatenate str" in state.error.message
    monkeypatch.undo()
    app.models.load("tiny", "echo")
    assert app.supervisor.state.phase == "ready"


def test_a_full_disk_under_a_listener_of_the_state_is_no_reason_to_end_the_worker(app: App) -> None:
    def full(state: object) -> None:
        raise PaddockError("settings.yaml could not be saved. Free some disk space.")

    app.supervisor.state_store.subscribe(full)
    app.models.load("tiny", "echo")
    assert app.supervisor.state.phase == "ready"


def test_a_worker_whose_words_cannot_be_handled_is_ended_and_who_waits_is_told(app: App, root: Path) -> None:
    exits: list[WorkerExit] = []
    client = WorkerClient(ECHO, app.environments.python(ECHO), root, exits.append)
    client.start()

    def report(text: str, fraction: float | None) -> None:
        raise RuntimeError("no more room")

    with pytest.raises(WorkerDied, match="Reading the output of Echo failed .*no more room"):
        client.load(str(root), {}, report)
    generation = client.generate("x", SamplingParams())
    assert generation.wait(PATIENCE) and generation.error is not None
    client.stop()
    assert [exit.cause for exit in exits] == ["ended"]
