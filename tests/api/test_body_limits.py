"""Bodies without end, half headers and clients that read nothing, over real sockets."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from httpx._config import DEFAULT_LIMITS
from starlette.responses import Response

from modules.api import body_limits as limits
from modules.api.body_limits import BodyLimitMiddleware
from modules.api.connections import LimitedHTTPProtocol
from modules.api.server import uvicorn_config
from modules.app import App
from tests.support.event_loop import run_async
from tests.support.server import serving

# Whole servers.
pytestmark = pytest.mark.slow

PATIENCE = 60.0
HEAD = "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.fixture
def connect(app: App) -> Iterator[Callable[[], socket.socket]]:
    """Return a function that opens connections to a server without a model."""
    opened: list[socket.socket] = []
    with serving(app) as address:
        place = httpx.URL(address)

        def connect() -> socket.socket:
            opened.append(socket.create_connection((place.host, place.port or 0), PATIENCE))
            return opened[-1]

        yield connect
        for one in opened:
            one.close()


def _answer(connection: socket.socket) -> bytes:
    """Return what arrives until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def _asks(connection: socket.socket) -> bytes:
    connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return connection.recv(12)


PATHS = ["/v1/completions", "/paddock/notebook/write", "/gradio_api/run/predict", "/gradio_api/queue/join"]


@pytest.mark.parametrize("path", PATHS)
def test_a_body_without_a_length_is_counted_as_it_comes(
    connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(limits, "MOST", 1_000_000)
    connection = connect()
    connection.sendall(f"{HEAD.format(path)}Transfer-Encoding: chunked\r\n\r\n".encode())
    chunk = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
    sent = 0
    # The answer comes while the body is still on its way.
    while not select.select([connection], [], [], 0)[0]:
        connection.sendall(chunk)
        sent += len(chunk)
        assert sent < 100_000_000
    assert connection.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize("path", [*PATHS, "/gradio_api/upload", "/extensions/x/y", "/"])
def test_a_length_that_is_too_large_is_refused_before_the_body(connect: Callable[[], socket.socket], path: str) -> None:
    connection = connect()
    connection.sendall(f"{HEAD.format(path)}Content-Length: {limits.MOST_OF_UPLOADS + 1}\r\n\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 413"


def test_a_body_of_the_largest_size_is_taken(app: App) -> None:
    with serving(app) as address:
        body = b'{"prompt": "x"}'.ljust(limits.MOST)
        assert httpx.post(f"{address}/v1/completions", content=body, timeout=PATIENCE).status_code == 503


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: 127.0", b"POST / HTTP/1.1\r\nHost: x\r\n"])
def test_half_a_header_is_not_waited_for(
    connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(LimitedHTTPProtocol, "header_seconds", 0.2)
    first = connect()
    first.sendall(sent)
    assert _answer(first)[:12] in (b"", b"HTTP/1.1 408")
    # The same after an answer, on the same connection.
    second = connect()
    assert _asks(second) == b"HTTP/1.1 200"
    second.sendall(sent)
    _answer(second)
    assert _asks(connect()) == b"HTTP/1.1 200"


def test_clients_drop_a_connection_that_waits_before_the_server_does() -> None:
    async def nothing(*_: object) -> None: ...

    expiry = DEFAULT_LIMITS.keepalive_expiry
    assert expiry is not None and uvicorn_config(nothing).timeout_keep_alive > 2 * expiry


def test_a_request_that_takes_longer_than_its_header_may_is_answered(
    connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LimitedHTTPProtocol, "header_seconds", 0.1)
    stream, other = connect(), connect()
    stream.sendall(b"GET /paddock/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert stream.recv(12) == b"HTTP/1.1 200"
    # As long as that one takes to be given up, the stream stays.
    assert _answer(other) == b""
    stream.setblocking(False)
    with pytest.raises(BlockingIOError):
        while stream.recv(65536):
            continue


def test_the_longest_idle_connection_makes_room(
    connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LimitedHTTPProtocol, "most", 3)
    streams = [connect(), connect()]
    for stream in streams:
        stream.sendall(b"GET /paddock/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert stream.recv(12) == b"HTTP/1.1 200"
    idle = connect()
    idle.sendall(b"GET / HTTP/1.1\r\n")
    assert _asks(connect()) == b"HTTP/1.1 200"
    assert _answer(idle) == b""
    # Where all are busy, the new one has no place.
    busy = connect()
    busy.sendall(b"GET /paddock/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert busy.recv(12) == b"HTTP/1.1 200"
    assert _answer(connect()) == b""


def test_a_client_that_reads_nothing_is_given_up(
    connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LimitedHTTPProtocol, "read_seconds", 0.2)
    # No socket's buffer takes it whole.
    monkeypatch.setattr("modules.api.openai._no_route", lambda request, known: Response(b"x" * 64_000_000))
    given_up = threading.Event()
    lost = LimitedHTTPProtocol.connection_lost

    def connection_lost(one: LimitedHTTPProtocol, error: Exception | None) -> None:
        lost(one, error)
        given_up.set()

    monkeypatch.setattr(LimitedHTTPProtocol, "connection_lost", connection_lost)
    connect().sendall(b"GET /v1/large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert given_up.wait(PATIENCE)


@pytest.mark.parametrize("parts", [0, 3])
def test_a_body_that_comes_too_slowly_is_not_waited_for(parts: int) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        await send({"type": "http.response.start", "status": 500, "headers": []})
        raise ValueError("for want of a body")

    async def run() -> None:
        left = iter([{"type": "http.request", "body": b"x", "more_body": True}] * parts)

        async def receive() -> Any:
            return next(left, None) or await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "path": "/v1/completions", "headers": []}
        await BodyLimitMiddleware(app, first_seconds=0.05)(scope, receive, send)

    run_async(run())
    assert [message.get("status") for message in sent] == [408, None]
