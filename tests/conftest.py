"""Fixtures: an App of its own for each test, in a temporary folder, that is closed again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.library.machine import inspect_machine
from modules.runtime.environment import Environments
from modules.settings.config import Config
from tests.support.models import write_model_folder

ROOT = Path(__file__).resolve().parent.parent
# A `!long` reply of a million words at a thousand a second: only a stop ends it.
ROOMY = {"context": 1_000_000, "delay": 0.001}


@pytest.fixture
def root() -> Path:
    """The clone."""
    return ROOT


@pytest.fixture(scope="session")
def environments() -> Environments:
    """The clone's environments."""
    return Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A run with one small model folder named `tiny`, the echo loader on offer, and data of its own."""
    write_model_folder(tmp_path / "models" / "tiny")
    return Config(ROOT, port=0, models=tmp_path / "models", user_data=tmp_path / "user_data", show_echo=True)


@pytest.fixture
def app(config: Config) -> Iterator[App]:
    """The App of that run; its worker is ended and its files are closed afterwards."""
    app = build_app(config)
    yield app
    app.close()


@pytest.fixture
def echo(app: App) -> App:
    """The same with the echo loader running, and room for replies that do not end by themselves."""
    app.models.load("tiny", "echo", ROOMY)
    return app
