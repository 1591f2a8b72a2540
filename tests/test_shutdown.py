"""How a Paddock that serves ends: by signals, by a kill; and what it starts with in a strange environment."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.browser.conftest import Served, prepare

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of these signals")
PATIENCE = 60.0


@pytest.fixture
def paddock(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts a Paddock on the echo loader: `paddock(*flags)`."""
    prepare(tmp_path, context=1_000_000)
    running: list[Served] = []

    def start(*flags: str) -> Served:
        served = Served(tmp_path, *flags)
        running.append(served)
        served.wait()
        return served

    yield start
    for served in running:
        served.close()


def _ask(served: Served, path: str, **body: Any) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(served.address.removeprefix("http://"), timeout=PATIENCE)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    return connection.getresponse()


def _loaded(served: Served) -> None:
    """Wait until its model answers."""
    while _ask(served, "/v1/completions", prompt="x", max_tokens=1).status != 200:
        assert served.process.poll() is None, served.lines


def _begun(served: Served) -> str:
    """Begin a reply in a new chat that ends only when it is stopped; return the chat's id once words of it came."""
    chat = json.load(_ask(served, "/paddock/chats"))["id"]
    assert _ask(served, f"/paddock/chats/{chat}/send", text="on and on !long").status == 200
    connection = http.client.HTTPConnection(served.address.removeprefix("http://"), timeout=PATIENCE)
    connection.request("GET", f"/paddock/chats/{chat}/events")
    stream = connection.getresponse()
    while not re.search(rb'"tokens":[1-9]', line := stream.readline()):
        assert line
    return str(chat)


def _reply(served: Served) -> tuple[str, dict[str, Any]]:
    """The text and the facts of the one reply, as they are on the disk."""
    with sqlite3.connect(served.user_data / "chats.sqlite3") as chats:
        id, meta = chats.execute("select id, meta from messages where role = 'assistant'").fetchone()
        parts = chats.execute("select text from parts where message = ? order by place", (id,)).fetchall()
    return "".join(text for (text,) in parts), json.loads(meta)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_the_reply_is_stored_as_stopped(
    paddock: Callable[..., Served], number: signal.Signals
) -> None:
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("the tests were started in the background, where this signal is ignored")
    served = paddock("--model", "small")
    _loaded(served)
    workers = [psutil.Process(pid) for pid in served.workers()]
    _begun(served)
    stream = _ask(served, "/v1/completions", prompt="on and on !long", stream=True, max_tokens=900_000)
    assert stream.readline()
    served.process.send_signal(number)
    stream.read()  # ends in order, or this raises
    assert served.process.wait(PATIENCE) == (130 if number == signal.SIGINT else 0)
    served.close()
    assert workers and not any(worker.is_running() for worker in workers)
    text, meta = _reply(served)
    assert text.startswith("on and") and meta["stopped"] and meta["reason"] == "cancelled"
    assert not any("Traceback" in line for line in served.lines), served.lines


def test_words_of_a_reply_that_were_stored_outlive_a_kill_right_after_them(paddock: Callable[..., Served]) -> None:
    served = paddock("--model", "small")
    _loaded(served)
    _begun(served)
    while not (stored := _reply(served)[0]):
        assert served.process.poll() is None, served.lines
    served.kill()
    assert stored.startswith("on") and _reply(served)[0].startswith(stored)


def test_no_worker_outlives_a_kill_and_the_one_beside_the_pages_model_neither(
    paddock: Callable[..., Served],
) -> None:
    served = paddock("--model", "small")
    _loaded(served)
    assert _ask(served, "/v1/completions", model="other", prompt="x", max_tokens=1).status == 200
    workers = [psutil.Process(pid) for pid in served.workers()]
    served.kill()
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE)
    assert len(workers) == 2 and not alive


def test_a_signal_before_it_serves_ends_it_with_its_worker(tmp_path: Path) -> None:
    served = Served(prepare(tmp_path), "--model", "small")
    while not served.workers():
        assert served.process.poll() is None, served.lines
    workers = [psutil.Process(pid) for pid in served.workers()]
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(PATIENCE) == 0
    served.close()
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE)
    assert not alive and not any("Traceback" in line for line in served.lines), served.lines


STRANGE = {
    "settings of others": {
        "ALL_PROXY": "socks5://127.0.0.1:9",
        "FORWARDED_ALLOW_IPS": "?",
        "GRADIO_ANALYTICS_ENABLED": "yes",
        "GRADIO_HEARTBEAT_INTERVAL": "never",
        "GRADIO_NODE_SERVER_PORT": "x",
        "GRADIO_NUM_PORTS": "x",
        "GRADIO_ROOT_PATH": "/elsewhere",
        "GRADIO_SERVER_PORT": "abc",
        "GRADIO_SSR_MODE": "True",
        "SPACE_ID": "a/b",
        "SYSTEM": "spaces",
        "WEB_CONCURRENCY": "many",
    },
    "proxies that are none": {
        "HTTPS_PROXY": "nonsense:abc:1",
        "HTTP_PROXY": "ftp://127.0.0.1",
        "NO_PROXY": "[::1,::1/128,*:x",
    },
    "what is not there": {
        "COLUMNS": "wide",
        "HOME": "/nowhere",
        "LC_ALL": "xx",
        "SSL_CERT_DIR": "/nowhere",
        "SSL_CERT_FILE": "/nowhere/ca.pem",
        "TERM": "",
        "TMPDIR": "/nowhere",
        "TZ": "no/where",
    },
}


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE.keys())
def test_it_starts_in_a_strange_environment(
    paddock: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, strange: dict[str, str]
) -> None:
    for name, value in strange.items():
        monkeypatch.setenv(name, value)
    served = paddock("--model", "small")
    _loaded(served)
    connection = http.client.HTTPConnection(served.address.removeprefix("http://"), timeout=PATIENCE)
    connection.request("GET", "/")
    page = connection.getresponse()
    assert page.status == 200 and b"Paddock" in page.read()
    served.process.terminate()
    assert served.process.wait(PATIENCE) == 0
    served.close()
    assert not any("Traceback" in line or "Error" in line for line in served.lines), served.lines


def test_a_value_that_a_library_refuses_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    command = [
        sys.executable,
        "webui.py",
        "--no-venv",
        "--port",
        "0",
        "--no-model",
        "--models",
        str(tmp_path / "models"),
    ]
    answer = subprocess.run(
        [*command, "--user-data", str(tmp_path / "data")],
        cwd=root,
        env={**os.environ, "HF_HUB_DOWNLOAD_TIMEOUT": "ten seconds"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert answer.returncode == 1
    assert "The environment variable HF_HUB_DOWNLOAD_TIMEOUT may be the cause: unset it" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "Traceback" in (tmp_path / "data" / "logs" / "last_error.txt").read_text()
