"""A small HTTP server whose answers a test defines, to imitate the faults of remote servers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Strange"], None]


class Strange(BaseHTTPRequestHandler):
    """One request. `body` is its JSON. `send`, `event` and `texts` answer it."""

    server: StrangeServer

    def _handle(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.body: dict[str, Any] = json.loads(raw) if raw else {}
        self.server.seen.append(self)
        answer = self.server.answers.get(self.path.split("?")[0])
        if answer is None:
            self.send({"error": {"message": f"no {self.path} here"}}, status=404)
            return
        try:
            answer(self)
        except OSError:
            self.server.hung_up.set()

    do_GET = do_POST = _handle

    def send(self, value: Any, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        """Answer with a value as JSON, or with a text unchanged."""
        data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(data)

    def begin_events(self) -> None:
        """Begin an answer of server-sent events."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

    def event(self, value: Any) -> None:
        """Send one event: a value as JSON, or a text unchanged."""
        text = value if isinstance(value, str) else json.dumps(value)
        self.wfile.write(f"data: {text}\n\n".encode())
        self.wfile.flush()

    def texts(self, *texts: str, finish: str | None = "stop") -> None:
        """Send pieces of a chat reply, and the end of the reply unless `finish` is None."""
        self.begin_events()
        for text in texts:
            self.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
        if finish is not None:
            self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
            self.event("[DONE]")

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing to stderr."""


class StrangeServer(ThreadingHTTPServer):
    """The server.

    `answers`: path -> function that answers. `seen`: the requests so far. `hung_up`: set once a client has hung up.
    `released`: set when the test is over.
    """

    daemon_threads = True

    def __init__(self, answers: dict[str, Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Strange)
        self.answers = answers
        self.seen: list[Strange] = []
        self.hung_up = threading.Event()
        self.released = threading.Event()

    @property
    def address(self) -> str:
        """Return the address that it listens on."""
        return f"http://127.0.0.1:{self.server_address[1]}"


def models(*names: str, **facts: Any) -> Answer:
    """Return a function that answers as /v1/models does."""
    return lambda request: request.send({"object": "list", "data": [{"id": name, **facts} for name in names]})


@contextmanager
def strange(answers: dict[str, Answer]) -> Iterator[StrangeServer]:
    """Run a server with these answers while the block runs."""
    server = StrangeServer(answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
