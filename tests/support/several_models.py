"""A server with several models of the echo loader, for tests of what requests load."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from modules.app import App
from modules.cli.application import build_app
from modules.runtime.model_state import ModelState
from modules.settings.config import Config
from tests.conftest import ROOMY, ROOT
from tests.support.models import write_model_folder
from tests.support.server import serving

PATIENCE = 90.0
MANY = 900_000


class Server:
    """An App with echo models, and a client. `loads`: the models loaded so far in the current place, in order."""

    def __init__(self, app: App, client: httpx.Client) -> None:
        self.app = app
        self.client = client
        self.loads: list[str] = []
        self.pool = ThreadPoolExecutor(24)
        app.supervisor.state_store.subscribe(self._note)

    def _note(self, state: ModelState) -> None:
        if state.phase == "starting":
            self.loads.append(state.model)

    def ask(self, model: str | None, prompt: str = "hello", **more: Any) -> httpx.Response:
        """Return the answer to a completion."""
        return self.client.post("/v1/completions", json={"model": model, "prompt": prompt, "max_tokens": 20, **more})

    def later(self, model: str | None, prompt: str = "hello") -> Future[httpx.Response]:
        """Ask on another thread."""
        return self.pool.submit(self.ask, model, prompt)

    def wait_for(self, phase: str, model: str) -> threading.Event:
        """Return an event that is set once the supervisor's state is this one."""
        reached = threading.Event()

        def look(state: ModelState) -> None:
            if (state.phase, state.model) == (phase, model):
                reached.set()

        self.app.supervisor.state_store.subscribe(look)
        look(self.app.supervisor.state)
        return reached


def serve_models(folder: Path, names: Sequence[str] = ("tiny", "other"), **changes: Any) -> Iterator[Server]:
    """Serve an App with these models, the first of which is loaded. `changes`: of its Config."""
    for name in names:
        write_model_folder(folder / "models" / name)
    app = build_app(
        Config(ROOT, port=0, models=folder / "models", user_data=folder / "user_data", show_echo=True, **changes)
    )
    try:
        # So that a load on request takes the same loader and settings.
        for name in reversed(names):
            app.models.load(name, "echo", ROOMY)
        limits = httpx.Limits(max_connections=32)
        with serving(app) as address, httpx.Client(base_url=address, timeout=PATIENCE, limits=limits) as client:
            server = Server(app, client)
            try:
                yield server
            finally:
                server.pool.shutdown()
    finally:
        app.close()
