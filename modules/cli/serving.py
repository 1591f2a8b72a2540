"""Serve the page: bind, load the first model in the background, serve until Ctrl+C or SIGTERM."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from modules.api.listening_sockets import bind_all, close_all
from modules.api.tls import tls_options
from modules.app import App
from modules.cli.application import build_app
from modules.cli.terminal import ProgressLine
from modules.protocol.errors import PaddockError
from modules.runtime.model_state import ModelState
from modules.settings.config import Config
from modules.system.host_environment import import_gradio_without_bad_network_settings, private_uploads, remove_uploads
from modules.system.signals import Terminated
from modules.ui.gradio_internals.stub_files import skip_stub_files

_OPEN_TO_ALL = (
    "Warning: everyone in your network can use Paddock, read its chats and load models, because it was started with "
    "--listen and --no-password. Start it with --password-file FILE to require a password."
)


def serve_page(config: Config) -> int:
    """Serve the page until Ctrl+C or a signal. Return the exit status: 0 after SIGTERM, as for a service."""
    with private_uploads():
        return _serve(config)


def _serve(config: Config) -> int:
    skip_stub_files()
    import_gradio_without_bad_network_settings()
    tls_options(config)  # A wrong file is an error before the slow part of the start.
    listeners = bind_all(config.host, config.port)
    app = build_app(config)
    try:
        app.supervisor.state_store.subscribe(_state_printer(app, ProgressLine()))
        app.supervisor.state_store.subscribe(_beside_printer(app))
        # The worker starts while Gradio is still being imported, which takes most of the time.
        if not config.no_model and (model := app.startup_model()):
            with suppress(PaddockError):  # The state shows it.
                app.models.load_in_background(model, config.loader)
        from modules.api.server import serve

        if config.listen and not config.has_secret:
            print(_OPEN_TO_ALL, flush=True)
        scheme = "https" if config.ssl_certfile else "http"
        address = f"{scheme}://127.0.0.1:{listeners[0].getsockname()[1]}"
        serve(app, listeners, lambda: print(f"Paddock is ready: {address}", flush=True))
    except Terminated:
        print("Paddock received a signal to end.", flush=True)
    finally:
        unfinished = app.close()
        close_all(listeners)
        if unfinished:
            print(f"Threads of {', '.join(unfinished)} did not end; Paddock ends without them.", flush=True)
            remove_uploads()
            os._exit(0)
    return 0


def _beside_printer(app: App) -> Callable[[object], None]:
    """Return a listener that prints which models are loaded beside the page's, whenever that changes."""
    printed: list[tuple[str, ...]] = [()]

    def print_beside(state: object) -> None:
        loaded = tuple(model.name for model in app.pool.others if model.ready)
        if loaded != printed[0]:
            printed[0] = loaded
            print(f"Loaded beside it: {', '.join(loaded) or 'nothing'}.", flush=True)

    return print_beside


def _state_printer(app: App, progress: ProgressLine) -> Callable[[ModelState], None]:
    printed: list[ModelState] = []

    def print_state(state: ModelState) -> None:
        # A state may be published again for the pages; the terminal shows it once.
        before = printed[0] if printed else ModelState()
        if before is state:
            return
        printed[:] = [state]
        if state.error is not None and state.error is not before.error:
            progress.close()
            print(state.error.message, flush=True)
        elif state.text:
            progress(state.text, state.fraction)
        elif state.phase == "ready" and state.info is not before.info:
            progress.close()
            app.settings.set("last_model", state.model)
            print(f"Loaded {state.model} with {state.loader} in {state.load_seconds:.1f} s.", flush=True)

    return print_state
