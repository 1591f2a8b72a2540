"""One server with the echo loader for the tests of a file that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.settings.config import Config
from tests.conftest import ROOMY, ROOT
from tests.support.models import write_model_folder
from tests.support.server import serving


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Return a client of a server with the model `tiny` in the echo loader, and a model `other` that is not loaded."""
    folder = tmp_path_factory.mktemp("shared")
    for name in ("tiny", "other"):
        write_model_folder(folder / "models" / name)
    config = Config(ROOT, port=0, models=folder / "models", user_data=folder / "user_data", show_echo=True)
    app = build_app(config)
    try:
        app.models.load("tiny", "echo", ROOMY)
        with serving(app) as address, httpx.Client(base_url=address, timeout=90) as client:
            yield client
    finally:
        app.close()


@pytest.fixture
def own_client(echo: App) -> Iterator[httpx.Client]:
    """Return a client of a server with the echo loader that no other test uses."""
    with serving(echo) as address, httpx.Client(base_url=address, timeout=90) as client:
        yield client
