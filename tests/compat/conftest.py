"""Fixtures for scripts written like text-generation-webui's extensions."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from modules.cli.application import build_app
from modules.settings.config import Config
from modules.ui.page import build_page
from tests.compat.pages import Browser
from tests.plugins.conftest import Talk


class Stage(Talk):
    """An App with the echo loader and scripts that take part in its chats."""

    def script(self, name: str, code: str, **files: str) -> ModuleType:
        """Write a script.py and further files (`helper_py="…"`), allow and enable it, and return its module."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in {"script_py": code, **files}.items():
            path = folder / file.replace("_py", ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text))
        self.manager.enable(name, self.manager.find(name).sha256)
        running = self.manager.running.get(name)
        assert running is not None
        module: ModuleType = running.plugin.module
        return module

    def facade(self, name: str) -> Any:
        """Return a module as scripts see it."""
        return self.app.scripts.facade.module(name)

    def page(self) -> Browser:
        """Return Paddock's current page in a simulated browser."""
        return Browser(build_page(self.app))

    def folder(self, name: str) -> Path:
        """Return the folder of a script."""
        return self.root / name


@pytest.fixture
def stage(config: Config) -> Iterator[Stage]:
    """Return an App with the echo loader loaded."""
    app = build_app(config)
    app.models.load("tiny", "echo", {})
    yield Stage(app)
    app.close()
