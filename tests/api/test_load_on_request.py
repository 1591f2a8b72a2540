"""Requests for another model where one is loaded at a time: loaded once, in turn, never while a reply runs."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOMY
from tests.support.several_models import MANY, PATIENCE, Server, serve_models

# Whole servers.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve for the tests that need no other configuration."""
    yield from serve_models(tmp_path_factory.mktemp("shared"), max_models=1)


@pytest.fixture
def server(shared: Server) -> Server:
    """Return the shared server with `tiny` loaded and no load noted."""
    if shared.app.supervisor.state.model != "tiny":
        shared.app.models.load("tiny", "echo", ROOMY)
    shared.loads.clear()
    return shared


def test_a_request_loads_the_model_that_it_names(server: Server) -> None:
    answer = server.ask("other", "good day").json()
    assert (answer["model"], answer["choices"][0]["text"]) == ("other", "good day")
    assert server.app.supervisor.state.model == "other"
    assert server.ask(None).json()["model"] == "other"


def test_requests_for_one_model_share_one_load(server: Server) -> None:
    answers = [server.later("other", f"word {number}") for number in range(12)]
    assert [one.result().json()["choices"][0]["text"] for one in answers] == [f"word {at}" for at in range(12)]
    assert server.loads == ["other"]


def test_a_reply_that_runs_is_never_cut_by_a_load(server: Server) -> None:
    body = {"model": "tiny", "prompt": "a !long", "max_tokens": MANY, "stream": True}
    with server.client.stream("POST", "/v1/completions", json=body) as response:
        lines = response.iter_lines()
        next(lines)
        other = server.later("other")
        of_page = server.app.supervisor.generate("page !long", server.app.presets.merge("", {"max_new_tokens": MANY}))
        for _ in range(40):
            next(lines)
        assert server.loads == [] and not other.done()
    # The client hung up. The page's reply still runs.
    assert not of_page.done and server.app.supervisor.state.model == "tiny"
    of_page.cancel()
    assert other.result().json()["model"] == "other"
    assert of_page.finished is not None and of_page.finished.reason == "cancelled"


def test_requests_for_two_models_take_turns(server: Server) -> None:
    """Sixteen requests that arrive while both are busy need a load for each model, not one for each request."""
    answers = [server.later(("tiny", "other")[number % 2], f"n {number}") for number in range(16)]
    assert [one.result().json()["model"] for one in answers] == ["tiny", "other"] * 8
    assert len(server.loads) <= 4


def test_a_stream_of_requests_for_one_model_does_not_starve_another(server: Server) -> None:
    stop = threading.Event()

    def keep_asking() -> int:
        asked = 0
        while not stop.is_set():
            assert server.ask("tiny", "again").status_code == 200
            asked += 1
        return asked

    busy = [server.pool.submit(keep_asking) for _ in range(3)]
    answer = server.ask("other")
    stop.set()
    assert answer.json()["model"] == "other"
    assert all(one.result() for one in busy)


def test_a_client_that_hangs_up_while_it_waits_causes_no_load(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    noticed, load = threading.Event(), server.app.on_request.load

    def watched_load(name: str, stop: Callable[[], bool]) -> None:
        def watched_stop() -> bool:
            stopped = stop()
            if stopped:
                noticed.set()
            return stopped

        load(name, watched_stop)

    monkeypatch.setattr(server.app.on_request, "load", watched_load)
    of_page = server.app.supervisor.generate("page !long", server.app.presets.merge("", {"max_new_tokens": MANY}))
    with pytest.raises(httpx.ReadTimeout):
        server.client.post("/v1/completions", json={"model": "other", "prompt": "x"}, timeout=1.0)
    assert noticed.wait(PATIENCE)
    of_page.cancel()
    assert of_page.wait(PATIENCE)
    assert server.ask("tiny").json()["model"] == "tiny"
    assert server.loads == []


def test_a_request_waits_for_a_load_whose_client_has_hung_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The load begins in the moment in which the client hangs up, so no request waits for it any more."""
    begun, go, load = threading.Event(), threading.Event(), server.app.on_request.load

    def slow_load(name: str, stop: Callable[[], bool]) -> None:
        with server.app.pool.current.without_requests(lambda: False):
            begun.set()
            assert go.wait(PATIENCE)
        load(name, stop)

    monkeypatch.setattr(server.app.on_request, "load", slow_load)
    with pytest.raises(httpx.ReadTimeout):
        server.client.post("/v1/completions", json={"model": "other", "prompt": "x"}, timeout=1.0)
    assert begun.wait(PATIENCE)
    later = server.later("tiny")
    with pytest.raises(FutureTimeout):
        later.result(0.5)
    go.set()
    assert later.result(PATIENCE).json()["model"] == "tiny"


def test_a_request_without_a_model_waits_for_a_load_of_the_page(server: Server) -> None:
    starting = server.wait_for("starting", "other")
    server.app.models.load_in_background("other", "echo", ROOMY)
    assert starting.wait(PATIENCE)
    assert server.ask(None).json()["model"] == "other"


def test_an_unknown_name_is_404_and_changes_nothing(server: Server) -> None:
    answer = server.ask("nope")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert server.loads == []


def test_a_loader_that_is_not_installed_is_409_with_the_command(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    environments = server.app.environments
    missing = dataclasses.replace(environments.status(server.app.registry.get("echo")), installed=False)
    monkeypatch.setattr(environments, "status", lambda spec: missing)
    answer = server.ask("other")
    assert answer.status_code == 409
    assert "install echo" in answer.json()["error"]["message"]
    assert server.loads == []


def test_a_load_that_fails_answers_all_who_wait_and_the_previous_model_comes_back(server: Server) -> None:
    # As if the model's files had been damaged after an earlier load.
    server.app.loaders.save(server.app.models.check_load("other", "echo", {**ROOMY, "on_load": "refuse"}))
    of_page = server.app.supervisor.generate("page !long", server.app.presets.merge("", {"max_new_tokens": MANY}))
    asked = [server.later("other") for _ in range(10)]
    of_page.cancel()
    answers = [one.result() for one in asked]
    assert {answer.status_code for answer in answers} == {503}
    assert all("The echo loader refuses" in answer.json()["error"]["message"] for answer in answers)
    assert server.wait_for("ready", "tiny").wait(PATIENCE)
    info = server.app.supervisor.loaded()
    assert any("A program asked for other, which could not be loaded" in note for note in info.notes)
    # The next requests do not unload it again at once.
    assert server.ask("other").status_code == 503
    assert server.ask("tiny").json()["model"] == "tiny"
    assert server.loads == ["other", "tiny"]


def test_an_alias_is_another_name_of_a_model(tmp_path: Path) -> None:
    for server in serve_models(tmp_path, max_models=1, aliases=(("gpt-4o", "other"), ("tiny", "other"))):
        assert server.ask("gpt-4o").json()["model"] == "other"
        assert server.ask("tiny").json()["model"] == "tiny"
        listed = server.client.get("/v1/models").json()["data"]
        assert [(one["id"], one["state"]) for one in listed] == [
            ("tiny", "ready"),
            ("other", "not loaded"),
            ("gpt-4o", "not loaded"),
        ]
        assert listed[0]["loader"] == "echo" and listed[0]["context"] == ROOMY["context"]
        assert listed[1]["context"] == 128 and listed[1]["size_bytes"] > 0
        assert listed[2]["alias_of"] == "other"
        assert server.client.get("/v1/models/gpt-4o").json() == listed[2]


def test_loading_on_request_can_be_forbidden(tmp_path: Path) -> None:
    for server in serve_models(tmp_path, load_on_request=False):
        answer = server.ask("other")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "model_not_loaded")
        # No request could load it again.
        assert server.ask("tiny", keep_alive=0).status_code == 200
        assert server.app.pool.current.keep_alive is None
        server.app.supervisor.unload()
        assert "No model is loaded" in server.ask("other").json()["error"]["message"]
        assert server.loads == []
