"""Rubbish over real sockets at a real Paddock: each gets a refusal or a closed connection, and others are served."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.browser.conftest import Served, prepare

PATIENCE = 60.0
MB = 1024 * 1024
# What three bodies of 10 MB may take at once as Python's objects, and what may stay of them.
MOST_USED = 800 * MB
MOST_KEPT = 150 * MB
REFUSED = {400, 404, 413, 422}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start a Paddock on the echo loader."""
    folder = prepare(tmp_path_factory.mktemp("rubbish"), context=1_000_000)
    served = Served(folder, "--model", "small")
    try:
        served.wait()
        while _ask(served).status_code != 200:
            assert served.process.poll() is None, served.lines
        yield served
    finally:
        served.close()


def _ask(served: Served, text: str = "good morning") -> httpx.Response:
    return httpx.post(f"{served.address}/v1/completions", json={"prompt": text, "max_tokens": 5}, timeout=PATIENCE)


def _memory(served: Served) -> int:
    pids = [served.process.pid, *served.workers()]
    return sum(psutil.Process(pid).memory_info().rss for pid in pids)


def _post(served: Served, body: bytes, path: str = "/v1/completions") -> int:
    """Return the status of the answer, 0 if the connection was closed."""
    try:
        return httpx.post(f"{served.address}{path}", content=body, timeout=PATIENCE).status_code
    except httpx.TransportError as error:
        assert not isinstance(error, httpx.TimeoutException)
        return 0


def _json(**fields: Any) -> bytes:
    return json.dumps({"prompt": "x", "max_tokens": 5, **fields}).encode()


def _properties(count: int) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(count)}}


RUBBISH: dict[str, bytes] = {
    "half a body": b'{"prompt": "x"',
    "no UTF-8": b'{"prompt": "\xff\xfe\xc3("}',
    "zeros": b"\0" * MB,
    "UTF-16 without end": b"\xff\xfe{" * 1000,
    "brackets": b"[" * MB,
    "a long number": b'{"prompt": "x", "seed": ' + b"9" * 100_000 + b"}",
    "an infinite number": b'{"prompt": "x", "seed": 1e999}',
    "an infinite length": b'{"prompt": "x", "max_tokens": 1e999}',
    "NaN": b'{"prompt": "x", "temperature": NaN}',
    "a negative length": _json(max_tokens=-5),
    "a huge length": _json(max_tokens=10**18),
    "many choices": _json(n=10**9),
    "many prompts": _json(prompt=["x"] * 1_000_000),
    "many token ids": _json(prompt=[2**31] * 1_000_000),
    "a million stop strings": _json(stop=[f"stop{number}" for number in range(1_000_000)]),
    "a stop string without end": _json(stop=["x" * (10 * MB)]),
    "a million biases": _json(logit_bias={str(number): 1 for number in range(1_000_000)}),
    "no schema": _json(response_format={"type": "json_schema", "json_schema": {"schema": {"type": "what"}}}),
    "a schema in itself": _json(guided_json={"$ref": "#"}),
    "schemas in a circle": _json(
        guided_json={"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    ),
    "a huge schema": _json(guided_json=_properties(100_000)),
    "a huge grammar": _json(grammar="root ::= " + " | ".join(f'"w{number}"' for number in range(200_000))),
    "a huge choice": _json(guided_choice=[f"w{number}" for number in range(200_000)]),
    "no such model": _json(model="nope"),
    "a model name without end": _json(model="m" * MB),
    "a model outside": _json(model="../../etc/passwd"),
    "a model with a zero": _json(model="small\0"),
    "a number as a model": _json(model=1e300),
    "a preset outside": _json(preset="../../../etc/passwd"),
}
# Chats have other fields. Each is refused, too.
RUBBISH_CHATS: dict[str, bytes] = {
    "half a million messages": json.dumps({"messages": [{"role": "what", "content": "x"}] * 500_000}).encode(),
    "many tools": json.dumps({"messages": [{"role": "user", "content": "x"}], "tools": [{}] * 200_000}).encode(),
    "a role without end": json.dumps({"messages": [{"role": "r" * MB, "content": "x"}]}).encode(),
}


@pytest.mark.parametrize("name", [*RUBBISH, *RUBBISH_CHATS])
def test_rubbish_is_refused_while_others_are_served(served: Served, name: str) -> None:
    before = _memory(served)
    chat = name in RUBBISH_CHATS
    body, path = (RUBBISH_CHATS if chat else RUBBISH)[name], "/v1/chat/completions" if chat else "/v1/completions"
    with ThreadPoolExecutor(6) as pool:
        statuses = [pool.submit(_post, served, body, path) for _ in range(3)]
        others = [pool.submit(_ask, served) for _ in range(3)]
        assert {other.result().status_code for other in others} == {200}
        assert {status.result() for status in statuses} <= REFUSED
    assert _memory(served) - before < MOST_USED


@pytest.mark.parametrize("name", ["a million stop strings", "a million biases", "many prompts", "a huge schema"])
def test_memory_does_not_grow_with_repeated_rubbish(served: Served, name: str) -> None:
    _post(served, RUBBISH[name])
    before = _memory(served)
    for _ in range(5):
        assert _post(served, RUBBISH[name]) in REFUSED
    # The answer is sent before the request's objects are freed, which takes a busy machine some moments.
    for _ in range(100):
        if _memory(served) - before < MOST_KEPT:
            break
        assert _ask(served).status_code == 200
    assert _memory(served) - before < MOST_KEPT


def test_a_prompt_of_ten_megabytes_is_cut_or_refused_while_others_are_served(served: Served) -> None:
    before, body = _memory(served), _json(prompt="word " * (2 * MB))
    with ThreadPoolExecutor(4) as pool:
        statuses = [pool.submit(_post, served, body) for _ in range(2)]
        others = [pool.submit(_ask, served) for _ in range(2)]
        assert {other.result().status_code for other in others} == {200}
        assert {status.result() for status in statuses} <= REFUSED | {200}
    assert _memory(served) - before < MOST_USED


def _connect(served: Served) -> socket.socket:
    place = urlsplit(served.address)
    return socket.create_connection((place.hostname or "", place.port or 0), PATIENCE)


HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
HALF = {
    "nothing": b"",
    "a header": HEAD,
    "no body": HEAD + b"Content-Length: 1000\r\n\r\n",
    "half a body": HEAD + b'Content-Length: 1000\r\n\r\n{"prompt": "x',
    "half a chunk": HEAD + b'Transfer-Encoding: chunked\r\n\r\nff\r\n{"prompt',
}


@pytest.mark.parametrize("name", HALF)
def test_a_socket_that_is_closed_on_one_side_is_closed(served: Served, name: str) -> None:
    with _connect(served) as connection:
        connection.sendall(HALF[name])
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(65536):
                continue
    assert _ask(served).status_code == 200


def test_a_client_that_is_closed_on_one_side_holds_no_slot(served: Served) -> None:
    body = _json(prompt="on and on !long", max_tokens=900_000, stream=True)
    request = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    connections = [_connect(served) for _ in range(20)]
    for connection in connections:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
    # More than the engine has slots: if one of them were held, this would wait without end.
    assert _ask(served).status_code == 200
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET /v1/models\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * (2 * MB) + b"\r\n\r\n",
        b"GET /v1/\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ],
)
def test_what_is_no_request_is_answered_with_4xx_or_closed(served: Served, sent: bytes) -> None:
    answer = b""
    with _connect(served) as connection, contextlib.suppress(OSError):
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            answer += part
    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505")), answer[:200]
    assert _ask(served).status_code == 200


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of open files to raise")
def test_a_thousand_connections_leave_room_for_others(served: Served) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("this system allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard) if hard > 0 else 4096, hard))
    before, open_ones = _memory(served), list[socket.socket]()
    try:
        for number in range(1000):
            open_ones.append(_connect(served))
            # Half of them begin a request that never ends.
            open_ones[-1].sendall(b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n" if number % 2 else b"")
        assert _ask(served).status_code == 200
        assert _memory(served) - before < MOST_KEPT
    finally:
        for connection in open_ones:
            connection.close()
    assert _ask(served).status_code == 200


def test_nothing_of_all_that_was_an_error_of_the_server(served: Served) -> None:
    assert served.process.poll() is None
    assert not any("Traceback" in line for line in served.lines), served.lines
