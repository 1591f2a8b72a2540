"""After a worker's death the API's next request finds the model loaded again, unless it dies again and again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from modules.app import App
from modules.loading.model_reloader import STABLE_SECONDS, ModelReloader
from modules.protocol.errors import PaddockError
from modules.protocol.schema import changed_values
from modules.runtime.model_state import ModelState
from tests.conftest import ROOMY
from tests.support.server import serving

# Whole servers.
pytestmark = pytest.mark.slow

PATIENCE = 90.0
CRASH = "one two three four five six !crash"


@pytest.fixture
def client(echo: App) -> Iterator[httpx.Client]:
    with serving(echo) as address, httpx.Client(base_url=address, timeout=PATIENCE) as client:
        yield client


def _kill(app: App) -> int:
    """Kill the worker and wait until the state shows it. Return its process id."""
    died = threading.Event()
    end = app.supervisor.state_store.subscribe(lambda state: died.set() if state.phase == "failed" else None)
    pid = app.supervisor.worker_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert died.wait(PATIENCE)
    end()
    return pid


def _says(client: httpx.Client, prompt: str) -> httpx.Response:
    return client.post("/v1/completions", json={"prompt": prompt, "max_tokens": 20})


def test_the_next_request_loads_a_killed_model_again_as_it_was(echo: App, client: httpx.Client) -> None:
    before = _kill(echo)
    assert _says(client, "and again").json()["choices"][0]["text"] == "and again"
    assert echo.supervisor.worker_pid() != before
    assert changed_values(echo.supervisor.state.settings) == ROOMY


def test_requests_that_come_at_once_share_one_load(echo: App, client: httpx.Client) -> None:
    _kill(echo)
    loads: list[str] = []
    echo.supervisor.state_store.subscribe(
        lambda state: loads.append(state.phase) if state.phase == "starting" else None
    )
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: _says(client, f"word {number}"), range(6)))
    assert [answer.json()["choices"][0]["text"] for answer in answers] == [f"word {number}" for number in range(6)]
    assert loads == ["starting"]


def test_a_stream_and_a_chat_find_it_loaded_again_too(echo: App, client: httpx.Client) -> None:
    _kill(echo)
    body = {"messages": [{"role": "user", "content": "good day"}], "stream": True}
    assert "good" in client.post("/v1/chat/completions", json=body).text


def test_a_model_that_dies_of_each_request_is_loaded_a_few_times_and_then_no_more(
    echo: App, client: httpx.Client
) -> None:
    echo.reloader = ModelReloader(echo.supervisor, echo.models.load_again, pauses=(0.0, 0.0))
    assert [_says(client, CRASH).status_code for _ in range(3)] == [502, 502, 502]
    refused = _says(client, "fine")
    assert refused.status_code == 503
    assert "tiny ended 3 times in a row soon after it was loaded" in refused.json()["error"]["message"]
    echo.models.load("tiny", "echo")
    assert _says(client, CRASH).status_code == 502
    assert _says(client, "fine").status_code == 200


def test_a_model_that_the_user_unloaded_stays_unloaded(echo: App, client: httpx.Client) -> None:
    _kill(echo)
    echo.supervisor.unload()
    refused = _says(client, "x")
    assert refused.status_code == 503 and "No model is loaded" in refused.json()["error"]["message"]


def test_a_load_that_fails_is_tried_again_by_the_next_request(echo: App, client: httpx.Client) -> None:
    fails = [PaddockError("No memory now. Try later."), None]

    def load(state: ModelState) -> None:
        if error := fails.pop(0):
            raise error
        echo.models.load_again(state)

    echo.reloader = ModelReloader(echo.supervisor, load, pauses=(0.0, 0.0))
    _kill(echo)
    assert "No memory now" in _says(client, "x").json()["error"]["message"]
    assert _says(client, "back").json()["choices"][0]["text"] == "back"


class _Pauses(threading.Event):
    """Notes how long somebody wants to wait, and does not."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return self.is_set()


def test_the_pauses_grow_and_a_worker_that_lived_long_begins_with_the_first(
    echo: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def load(*asked: object) -> None:
        echo.models.load("tiny", "echo", ROOMY)

    reloader, pauses = ModelReloader(echo.supervisor, load, pauses=(0.0, 5.0, 9.0), clock=lambda: now[0]), _Pauses()
    monkeypatch.setattr(reloader, "_closing", pauses)
    for _ in range(2):
        _kill(echo)
        reloader.ensure_loaded()
    now[0] += STABLE_SECONDS
    _kill(echo)
    reloader.ensure_loaded()
    assert pauses.seconds == [0.0, 5.0, 0.0]
    _kill(echo)
    reloader.close()
    with pytest.raises(PaddockError, match="Paddock is shutting down"):
        reloader.ensure_loaded()
