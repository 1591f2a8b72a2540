"""A real server on a free port, in a thread, for tests over HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from modules.api.listening_sockets import bind
from modules.api.server import build_server, uvicorn_config
from modules.app import App


@contextmanager
def serving(app: App) -> Iterator[str]:
    """Serve the App while the block runs, and yield the server's address."""
    listener = bind("127.0.0.1", 0)
    up = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            up.set()

    server = Server(uvicorn_config(build_server(app), timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        assert up.wait(60)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
