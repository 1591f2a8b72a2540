"""Models beside the page's current one: two answer at once, and the least recently used idle one makes room."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from modules.protocol.errors import ModelError, PaddockError
from modules.runtime.model_state import ModelState
from modules.runtime.pool_model import PoolModel
from tests.conftest import ROOMY
from tests.support.several_models import MANY, PATIENCE, Server, serve_models

# Whole servers.
pytestmark = pytest.mark.slow

NAMES = ("tiny", "other", "third")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serve three models, two of which may be loaded at a time; `tiny` is the current one."""
    yield from serve_models(tmp_path, NAMES, max_models=2)


def _beside(server: Server) -> list[str]:
    return [model.name for model in server.app.pool.others]


def _listed(server: Server) -> dict[str, str]:
    """Return the models that the API lists as loaded or failed, with their states, in the list's order."""
    listed = server.client.get("/v1/models").json()["data"]
    return {one["id"]: one["state"] for one in listed if one["state"] != "not loaded"}


@contextmanager
def _streaming(server: Server, model: str, **more: Any) -> Iterator[Iterator[str]]:
    """Let a model write without end while the block runs."""
    body = {"model": model, "prompt": f"{model} !long", "max_tokens": MANY, "stream": True, **more}
    with server.client.stream("POST", "/v1/completions", json=body) as response:
        lines = response.iter_lines()
        assert model in next(lines)
        yield lines


def _until(server: Server, condition: Any) -> threading.Event:
    """Return an event that is set once the condition is true after a change of some model's state."""
    reached = threading.Event()

    def look(state: ModelState | None = None) -> None:
        if condition():
            reached.set()

    server.app.supervisor.state_store.subscribe(look)
    look()
    return reached


def test_two_models_answer_at_once(server: Server) -> None:
    with _streaming(server, "tiny") as tiny, _streaming(server, "other") as other:
        for _ in range(10):
            assert "tiny" in "".join(next(tiny) + next(tiny) + next(tiny) + next(tiny))
            next(other)
        assert _listed(server) == {"tiny": "ready", "other": "ready"}
        assert server.app.supervisor.state.model == "tiny"
        assert server.ask(None).json()["model"] == "tiny"
    assert server.loads == []


def test_requests_for_several_new_models_at_once_are_all_answered(server: Server) -> None:
    answers = [server.later(NAMES[number % 3], f"n {number}") for number in range(12)]
    assert [one.result().json()["model"] for one in answers] == [*NAMES] * 4
    assert len({one.result().json()["id"] for one in answers}) == 12
    assert len(_listed(server)) == 2


def test_the_least_recently_used_idle_one_makes_room(tmp_path: Path) -> None:
    for server in serve_models(tmp_path, (*NAMES, "fourth"), max_models=3):
        for name in ("other", "third", "other", "fourth"):
            assert server.ask(name).json()["model"] == name
        assert _beside(server) == ["other", "fourth"]
        assert server.loads == []


def test_one_that_generates_stays_and_the_current_one_makes_room(server: Server) -> None:
    with _streaming(server, "other") as other:
        assert server.ask("third").json()["model"] == "third"
        assert server.app.supervisor.state.model == "third"
        next(other)
        assert _beside(server) == ["other"]


def test_a_load_that_waits_for_the_current_model_goes_beside_it_as_soon_as_another_is_idle(server: Server) -> None:
    with _streaming(server, "tiny") as tiny:
        with _streaming(server, "other"):
            third = server.later("third")
            for _ in range(40):
                next(tiny)
            assert not third.done()
        assert third.result(PATIENCE).json()["model"] == "third"
        next(tiny)
    assert _beside(server) == ["third"]


def test_a_pinned_model_is_never_unloaded_for_another(server: Server) -> None:
    assert server.ask("other").status_code == 200
    other = server.app.pool.find("other")
    assert other is not None
    other.pinned = True
    assert server.ask("third").json()["model"] == "third"
    assert _beside(server) == ["other"] and server.app.supervisor.state.model == "third"
    server.app.pool.current.pinned = True
    refused = server.ask("tiny")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "model_not_loaded")
    assert "'third' is pinned" in refused.json()["error"]["message"]


def test_memory_decides_what_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for server in serve_models(tmp_path, NAMES):
        assert server.ask("other").status_code == 200
        planner, pool = server.app.planner, server.app.pool
        # There is room for one beside the new one.
        monkeypatch.setattr(planner, "fits", lambda request, ends, pool=pool: len({*pool.models} - {*ends}) < 2)
        assert server.ask("third").json()["model"] == "third"
        assert _beside(server) == ["third"] and server.app.supervisor.state.model == "tiny"
        monkeypatch.setattr(planner, "fits", lambda request, ends: False)
        assert server.ask("other").json()["model"] == "other"
        assert server.app.supervisor.state.model == "other"


def test_one_that_is_used_again_in_the_moment_of_its_unload_is_not_joined_by_a_third(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.ask("other").status_code == 200
    unload, refused = server.app.pool.unload_if_idle, list[str]()

    def unload_later(model: PoolModel) -> bool:
        if not refused:
            refused.append(model.name)
            return False
        return unload(model)

    monkeypatch.setattr(server.app.pool, "unload_if_idle", unload_later)
    assert server.ask("third").json()["model"] == "third"
    assert refused == ["other"] and _beside(server) == ["third"]


def test_a_killed_one_is_loaded_again_by_the_next_request(server: Server) -> None:
    assert server.ask("other").status_code == 200
    (other,) = server.app.pool.others
    pid = other.supervisor.worker_pid()
    assert pid is not None
    died = _until(server, lambda: other.supervisor.state.phase == "failed")
    os.kill(pid, signal.SIGKILL)
    assert died.wait(PATIENCE)
    assert _listed(server) == {"tiny": "ready", "other": "failed"}
    assert server.ask("other", "and again").json()["choices"][0]["text"] == "and again"
    assert server.app.pool.others == [other] and other.supervisor.worker_pid() != pid


def test_one_whose_load_fails_leaves_the_others_alone(server: Server) -> None:
    server.app.loaders.save(server.app.models.check_load("other", "echo", {**ROOMY, "on_load": "refuse"}))
    with _streaming(server, "tiny") as tiny:
        answers = [one.result() for one in [server.later("other") for _ in range(5)]]
        assert {answer.status_code for answer in answers} == {503}
        assert all("The echo loader refuses" in answer.json()["error"]["message"] for answer in answers)
        next(tiny)
    assert _listed(server) == {"tiny": "ready"}
    assert server.ask("third").status_code == 200


def test_one_that_a_person_loads_on_the_page_is_not_loaded_twice(server: Server) -> None:
    assert server.ask("other").status_code == 200
    (other,) = server.app.pool.others
    server.app.models.load("other", "echo")
    assert _beside(server) == [] and other.supervisor.worker_pid() is None
    assert server.app.supervisor.state.model == "other"


def test_an_idle_one_is_unloaded_after_its_time_and_the_current_one_only_if_asked(server: Server) -> None:
    with _streaming(server, "other", keep_alive=0) as other:
        next(other)
        gone = _until(server, lambda: not server.app.pool.others)
        assert not gone.is_set()
    assert gone.wait(PATIENCE)
    assert server.app.supervisor.state.phase == "ready"
    empty = _until(server, lambda: server.app.supervisor.state.phase == "empty")
    assert server.ask("tiny", ttl=0).status_code == 200
    assert empty.wait(PATIENCE)


def test_a_model_that_is_kept_for_no_time_answers_the_request_that_it_was_loaded_for(tmp_path: Path) -> None:
    for server in serve_models(tmp_path, keep_alive=0.0, keep_current=0.0):
        # The time begins with the load, and not before the first use.
        assert server.app.supervisor.state.phase == "ready"
        gone = _until(server, lambda pool=server.app.pool: not pool.others)
        gone.clear()
        assert server.ask("other").json()["model"] == "other"
        assert gone.wait(PATIENCE)
        assert server.app.supervisor.state.model == "tiny"


def test_the_time_of_a_model_begins_with_its_load(server: Server) -> None:
    now = [0.0]
    model = PoolModel(server.app.supervisor, 60.0, clock=lambda: now[0])
    now[0] = 1000.0
    server.app.models.load("tiny", "echo", ROOMY)
    assert model.idle_seconds == 0.0 and model.unused
    now[0] = 1030.0
    assert model.enter() and model.idle_seconds is None
    model.leave()
    assert model.idle_seconds == 0.0 and not model.unused


def test_a_time_that_is_none_is_an_error(server: Server) -> None:
    refused = server.ask("tiny", keep_alive="soon")
    assert refused.status_code == 400 and "such as 5m" in refused.json()["error"]["message"]
    assert server.ask("tiny", keep_alive="5m").json().get("warnings") is None


def test_internal_routes_reach_each_model(server: Server) -> None:
    def post(route: str, **body: Any) -> httpx.Response:
        return server.client.post(f"/v1/internal/{route}", json=body)

    assert post("model/load", model_name="other", beside=True, pinned=True, ttl=60).status_code == 200
    (other,) = server.app.pool.others
    assert other.pinned and other.keep_alive == 60 and server.app.supervisor.state.model == "tiny"
    assert post("encode", text="one two", model="other").json()["length"] == 2
    info = server.client.get("/v1/internal/model/info").json()
    assert (info["model_name"], info["beside"]) == ("tiny", ["other"])
    with _streaming(server, "other") as lines:
        post("stop-generation")
        assert any("[DONE]" in line for line in lines)
    assert post("model/unload", model_name="nope").status_code == 404
    assert post("model/unload", model_name="other").status_code == 200
    assert _listed(server) == {"tiny": "ready"}


def test_a_model_beside_the_current_one_answers_without_one(server: Server) -> None:
    assert server.ask("other").status_code == 200
    server.app.supervisor.unload()
    assert server.ask(None).json()["model"] == "other"


def test_a_model_in_use_is_neither_renamed_nor_discarded(server: Server) -> None:
    assert server.ask("other").status_code == 200
    with pytest.raises(ModelError, match="other is loaded"):
        server.app.model_management.rename("other", "new")


def test_a_load_beside_the_current_model_is_refused_where_it_is_current(server: Server) -> None:
    with pytest.raises(PaddockError, match="tiny is the current model"):
        server.app.on_request.load_beside("tiny", "echo", None)
