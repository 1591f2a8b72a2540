"""Build the App, with support for extensions of text-generation-webui."""

from __future__ import annotations

from modules.app import App
from modules.settings.config import Config


def build_app(config: Config) -> App:
    """Return an App that runs every kind of extension."""
    return App(config, _scripts)


def _scripts(app: App) -> object:
    from modules.compat import Scripts  # this import takes a second, and most runs do not need it

    return Scripts(app)
