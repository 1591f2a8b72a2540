"""An engine that is being built, by the real installer, while other things are asked for."""

from __future__ import annotations

import dataclasses
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from loaders.echo.spec import SPEC as ECHO
from modules.app import App
from modules.protocol.errors import EnvironmentBroken
from modules.protocol.events import ModelInfo
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import SamplingParams
from modules.runtime.environment import Environments
from modules.runtime.load_request import LoadRequest
from modules.runtime.state_store import Superseded
from modules.runtime.supervisor import Supervisor

PATIENCE = 90.0
BUILT = dataclasses.replace(
    ECHO, title="Built", requirements="requirements.txt", probe="import slow; print(slow.VERSION)"
)
# Reports that it builds, then waits for the outcome to simulate. It has its own process group, like ninja's compilers.
BACKEND = """
import os, zipfile
def build_wheel(folder, settings=None, metadata=None):
    os.setpgid(0, 0)
    with open({started!r}, "w") as file:
        file.write(str(os.getpid()))
    with open({ending!r}) as ending:
        if ending.read() != "well":
            raise SystemExit("the compiler gave up")
    name = "slow-1.0-py3-none-any.whl"
    info = "slow-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("slow.py", "VERSION = '1.0'")
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.2\\nName: slow\\nVersion: 1.0\\n")
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "/RECORD", "")
    return name
"""


class Build:
    """A build that waits: `begun` gives its process, `end` ends it."""

    def __init__(self, folder: Path, environments: Environments) -> None:
        self._started, self._ending = folder / "started", folder / "ending"
        self.environments = environments

    def begun(self) -> psutil.Process:
        return psutil.Process(int(self._started.read_text()))

    def end(self, how: str) -> None:
        self._ending.write_text(how)


@pytest.fixture
def build(tmp_path: Path, app: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("started", "ending"):
        os.mkfifo(tmp_path / name)
    files = {
        "PKG-INFO": "Metadata-Version: 2.2\nName: slow\nVersion: 1.0\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "slow"\nversion = "1.0"\n',
        "backend.py": BACKEND.format(started=str(tmp_path / "started"), ending=str(tmp_path / "ending")),
    }
    with tarfile.open(wheels / "slow-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"slow-1.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    folder = tmp_path / "loaders" / ECHO.name
    folder.mkdir(parents=True)
    (folder / "requirements.txt").write_text("slow==1.0\n")
    environments = Environments(tmp_path / "envs", [tmp_path / "loaders"], app.machine)
    yield Build(tmp_path, environments)
    environments.close()


@pytest.fixture
def supervisor(root: Path, build: Build, app: App) -> Iterator[Supervisor]:
    """One that has the model `tiny` loaded, by the loader that needs no install."""
    supervisor = Supervisor(root, build.environments, lambda pid: psutil.Process(pid).memory_info().rss)
    supervisor.load(_request(app, ECHO))
    yield supervisor
    supervisor.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def _request(app: App, spec: LoaderSpec) -> LoadRequest:
    return LoadRequest(app.library.facts("tiny"), spec, spec.settings())


def _says(supervisor: Supervisor, text: str) -> bool:
    generation = supervisor.generate(text, SamplingParams())
    return generation.wait(PATIENCE) and generation.text == text


def test_the_loaded_model_answers_during_an_install_and_stays_if_it_fails(
    app: App, build: Build, supervisor: Supervisor, pool: ThreadPoolExecutor
) -> None:
    load = pool.submit(supervisor.load, _request(app, BUILT))
    build.begun()
    assert (supervisor.state.phase, supervisor.state.loader) == ("ready", "echo")
    assert "Built" in supervisor.state.text
    assert _says(supervisor, "still here")
    build.end("badly")
    error = load.exception(PATIENCE)
    assert isinstance(error, EnvironmentBroken) and "the compiler gave up" in error.detail
    state = supervisor.state
    assert (state.phase, state.text, state.error) == ("ready", "", error)
    assert _says(supervisor, "and here")


def test_the_model_is_loaded_once_its_loader_is_there(
    app: App, build: Build, supervisor: Supervisor, pool: ThreadPoolExecutor
) -> None:
    before = supervisor.worker_pid()
    load = pool.submit(supervisor.load, _request(app, BUILT))
    build.begun()
    build.end("well")
    assert isinstance(load.result(PATIENCE), ModelInfo)
    assert supervisor.worker_pid() != before
    assert _says(supervisor, "new here")


def test_unload_does_not_wait_for_an_install_and_what_it_was_for_is_not_loaded(
    app: App, build: Build, supervisor: Supervisor, pool: ThreadPoolExecutor
) -> None:
    load = pool.submit(supervisor.load, _request(app, BUILT))
    build.begun()
    supervisor.unload()
    assert supervisor.state.phase == "empty"
    build.end("well")
    assert isinstance(load.exception(PATIENCE), Superseded)
    assert supervisor.state.phase == "empty" and build.environments.status(BUILT).installed


def test_a_worker_that_dies_during_an_install_is_reported(
    app: App, build: Build, supervisor: Supervisor, pool: ThreadPoolExecutor
) -> None:
    load = pool.submit(supervisor.load, _request(app, BUILT))
    build.begun()
    died = threading.Event()
    supervisor.state_store.subscribe(lambda state: died.set() if state.phase == "failed" else None)
    pid = supervisor.worker_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert died.wait(PATIENCE)
    build.end("well")
    assert isinstance(load.result(PATIENCE), ModelInfo)
    assert supervisor.state.phase == "ready" and supervisor.state.error is None


def test_what_compiles_ends_with_paddock(app: App, build: Build, pool: ThreadPoolExecutor) -> None:
    install = pool.submit(build.environments.build, BUILT, lambda text, fraction: None)
    compiler = build.begun()
    build.environments.close()
    error = install.exception(PATIENCE)
    assert isinstance(error, EnvironmentBroken) and "because Paddock shut down" in error.message
    psutil.wait_procs([compiler], timeout=PATIENCE)
    assert not compiler.is_running()
    assert not build.environments.status(BUILT).path.exists()
    with pytest.raises(EnvironmentBroken, match="because Paddock shut down"):
        build.environments.build(BUILT, lambda text, fraction: None)


# A host that installs, to be killed.
HOST = """
import sys
from pathlib import Path
from modules.library.machine import inspect_machine
from modules.runtime.environment import Environments
from tests.runtime.test_installing import BUILT
folder = Path(sys.argv[1])
Environments(folder / "envs", [folder / "loaders"], inspect_machine()).build(BUILT, lambda text, fraction: None)
"""


def test_the_install_of_a_host_that_was_killed_ends_before_the_next_one_begins(
    root: Path, tmp_path: Path, build: Build, pool: ThreadPoolExecutor
) -> None:
    with subprocess.Popen([sys.executable, "-c", HOST, str(tmp_path)], cwd=root) as host:
        orphan = build.begun()
        host.kill()
    waits = threading.Event()
    install = pool.submit(
        build.environments.build, BUILT, lambda text, _: waits.set() if text.startswith("Waiting for another") else None
    )
    assert waits.wait(PATIENCE) and orphan.is_running()
    build.end("badly")  # well, and uv would take what was compiled from its cache
    fresh = build.begun()
    assert fresh.pid != orphan.pid and not orphan.is_running()
    build.end("well")
    install.result(PATIENCE)
    assert build.environments.status(BUILT).installed


def test_an_install_that_waits_for_another_ends_with_paddock(
    tmp_path: Path, build: Build, app: App, pool: ThreadPoolExecutor
) -> None:
    other = Environments(tmp_path / "envs", [tmp_path / "loaders"], app.machine)
    first = pool.submit(build.environments.build, BUILT, lambda text, fraction: None)
    build.begun()
    waits = threading.Event()
    second = pool.submit(other.build, BUILT, lambda text, fraction: waits.set())
    assert waits.wait(PATIENCE)
    other.close()
    assert "because Paddock shut down" in str(second.exception(PATIENCE))
    build.end("well")
    first.result(PATIENCE)
