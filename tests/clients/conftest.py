"""One server with the demo model in the default loader, for programs that speak to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modules.cli.application import build_app
from modules.library.scan import DEMO_MODEL
from modules.runtime.environment import Environments
from modules.settings.config import Config
from tests.conftest import ROOT
from tests.support.clients import not_asked
from tests.support.environments import installed, not_here
from tests.support.server import serving


@pytest.fixture(scope="session")
def address(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the server's address. The demo model is also named gpt-4o, for classes that know only OpenAI's models."""
    if reason := not_asked():
        pytest.skip(reason)
    user_data = tmp_path_factory.mktemp("clients") / "user_data"
    app = build_app(Config(ROOT, port=0, user_data=user_data, aliases=(("gpt-4o", DEMO_MODEL),)))
    try:
        spec = app.registry.get("xllamacpp")
        if reason := not_here(spec, environments):
            pytest.skip(reason)
        installed(spec, environments)
        app.models.load(DEMO_MODEL, "xllamacpp")
        with serving(app) as address:
            yield address
    finally:
        app.close()
