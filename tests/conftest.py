"""Fixtures for all tests, such as a new App for each test with its data in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.library.machine import inspect_machine
from modules.runtime.environment import Environments
from modules.settings.config import Config
from modules.ui.gradio_internals.stub_files import skip_stub_files
from tests.support.models import write_model_folder

if TYPE_CHECKING:
    from tests.support.scheduling import SlowestFirst

# Before a conftest.py of a folder imports Gradio.
skip_stub_files()

ROOT = Path(__file__).resolve().parent.parent
# Room for a `!long` reply of a million words, a thousand a second: it ends only when it is stopped.
ROOMY = {"context": 1_000_000, "delay": 0.001}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> SlowestFirst | None:
    """Return how pytest-xdist shares the tests with `--dist=loadscope`, as `python3 -m tests` runs it."""
    if config.getoption("dist") != "loadscope":
        return None
    from tests.support.scheduling import SlowestFirst

    return SlowestFirst(config, log)


@pytest.fixture
def root() -> Path:
    """Return the folder of this checkout."""
    return ROOT


@pytest.fixture(scope="session")
def environments() -> Environments:
    """Return the loaders' environments of this checkout."""
    return Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return a configuration with one small model named `tiny`, the echo loader, and a new data folder."""
    write_model_folder(tmp_path / "models" / "tiny")
    return Config(ROOT, port=0, models=tmp_path / "models", user_data=tmp_path / "user_data", show_echo=True)


@pytest.fixture
def app(config: Config) -> Iterator[App]:
    """Build an App with `config`. Afterwards end its worker and close its files."""
    app = build_app(config)
    yield app
    app.close()


@pytest.fixture
def echo(app: App) -> App:
    """Load the echo loader in `app`, with a context that an endless reply does not fill."""
    app.models.load("tiny", "echo", ROOMY)
    return app
