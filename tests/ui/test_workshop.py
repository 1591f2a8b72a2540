"""The Workshop's routes: jobs run in order, are cancelled and tried again; models go to the trash and back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.jobs.job_spec import JobSpec
from modules.settings.config import Config
from tests.support.server import serving

# Whole servers.
pytestmark = pytest.mark.slow

PATIENCE = 90.0


@pytest.fixture
def page(app: App) -> Iterator[httpx.Client]:
    with serving(app) as address, httpx.Client(base_url=f"{address}/paddock/workshop", timeout=60) as client:
        yield client


def _quantize(**settings: str) -> dict[str, Any]:
    return {"kind": "quantize", "model": "tiny", "method": "echo", "settings": settings}


def _start(page: httpx.Client, **settings: str) -> str:
    return str(page.post("/jobs", json=_quantize(**settings)).raise_for_status().json()["id"])


def _wait(app: App, condition: Callable[[], bool]) -> None:
    changed = threading.Event()
    releases = [app.job_queue.subscribe_jobs(changed.set), app.job_queue.subscribe_progress(changed.set)]
    try:
        while not condition():
            assert changed.wait(PATIENCE)
            changed.clear()
    finally:
        for release in releases:
            release()


def _status(app: App, id: str) -> str:
    return app.jobs.job(id).state.status


def _ended(app: App, id: str) -> Callable[[], bool]:
    return lambda: _status(app, id) not in ("waiting", "running")


def test_the_state_names_models_and_methods_with_their_settings(page: httpx.Client) -> None:
    state = page.get("/state").json()
    assert [(model["name"], model["full"]) for model in state["models"]] == [("tiny", True)]
    gguf = next(method for method in state["methods"] if method["name"] == "gguf")
    assert {"name": "type", "kind": "str", "default": "Q4_K_M"}.items() <= gguf["settings"][0].items()
    assert (gguf["calibrated"], gguf["requantize"]) == ({"imatrix": "auto"}, "requantize")
    assert state["models"][0]["format"] in gguf["sources"]
    assert state["trash"] == []


def test_a_recommendation_ranks_methods_and_says_why_others_are_impossible(page: httpx.Client) -> None:
    found = page.post("/recommend", json={"model": "tiny", "aim": "memory"}).json()
    assert {"gptq", "awq", "gguf", "nf4", "w8a8"} <= {row["method"] for row in found["methods"]}
    assert all(bool(row["rank"]) != bool(row["why_not"]) for row in found["methods"])
    answer = page.post("/recommend", json={"model": "tiny", "aim": "wealth"})
    assert answer.status_code == 400
    assert "balance" in answer.json()["error"]


def test_a_job_makes_a_model_and_the_list_says_which(app: App, page: httpx.Client) -> None:
    id = _start(page)
    _wait(app, _ended(app, id))
    row = page.get(f"/jobs/{id}").json()
    assert (row["status"], row["made"]["model"]) == ("finished", "tiny-echo")
    assert "Copied half of the model" in row["log"]
    assert "tiny-echo" in [model["name"] for model in page.get("/state").json()["models"]]


def test_jobs_wait_in_order_and_are_cancelled_in_any(app: App, page: httpx.Client) -> None:
    first, second, third = _start(page, behaviour="hang"), _start(page), _start(page)
    _wait(app, lambda: _status(app, first) == "running")
    assert [_status(app, id) for id in (second, third)] == ["waiting", "waiting"]
    assert page.post(f"/jobs/{third}/resume").status_code == 400
    page.post(f"/jobs/{third}/cancel").raise_for_status()
    assert _status(app, third) == "cancelled"
    _wait(app, lambda: bool(app.job_queue.progress))
    page.post(f"/jobs/{first}/cancel").raise_for_status()
    _wait(app, _ended(app, second))
    assert [_status(app, id) for id in (first, second, third)] == ["cancelled", "finished", "cancelled"]


def test_a_failed_job_says_why_and_can_be_tried_again(app: App, page: httpx.Client) -> None:
    id = _start(page, behaviour="refuse")
    _wait(app, _ended(app, id))
    assert "refuses this model" in page.get(f"/jobs/{id}").json()["message"]
    page.post(f"/jobs/{id}/resume").raise_for_status()
    _wait(app, _ended(app, id))
    assert _status(app, id) == "failed"
    assert page.post(f"/jobs/{id}/dance").status_code == 400


def test_a_job_that_cannot_be_done_is_refused_with_a_sentence(page: httpx.Client) -> None:
    for job, words in (
        ({"kind": "quantize", "model": "tiny", "method": "magic"}, "There is no method"),
        ({"kind": "compare", "models": ["tiny"]}, "two models or more"),
        ({"kind": "evaluate", "model": "nothing"}, "There is no model"),
        ({"kind": "dance", "model": "tiny"}, "no kind of job"),
    ):
        answer = page.post("/jobs", json=job)
        assert answer.status_code == 400
        assert words in answer.json()["error"]


def test_the_feed_sends_all_jobs_first(page: httpx.Client) -> None:
    with page.stream("GET", "/events") as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("event: jobs"))
        assert json.loads(next(lines).removeprefix("data: ")) == []


def test_jobs_of_a_host_that_ended_are_failed_at_the_next_start(app: App, config: Config) -> None:
    running = app.job_queue.add(JobSpec("quantize", "tiny", method="echo", settings={"behaviour": "hang"}))
    waiting = app.job_queue.add(JobSpec("quantize", "tiny", method="echo"))
    _wait(app, lambda: bool(app.job_queue.progress))
    other = build_app(config)
    try:
        assert [_status(other, id) for id in (running, waiting)] == ["running", "waiting"]
        app.close()
        states = [other.jobs.job(id).state for id in (running, waiting)]
        assert [state.status for state in states] == ["failed", "failed"]
        assert all("Run it again" in state.message for state in states)
    finally:
        other.close()
    assert sorted(path.name for path in app.paths.models.iterdir()) == ["tiny"]


def test_a_discarded_model_is_in_the_trash_and_can_be_restored(app: App, page: httpx.Client) -> None:
    before = {path.name for path in (app.paths.models / "tiny").iterdir()}
    trash = page.post("/models/discard", json={"model": "tiny"}).json()["trash"]
    assert app.library.names() == []
    assert page.get("/state").json()["trash"] == [{"id": trash, "name": "tiny"}]
    assert page.post("/models/restore", json={"trash": trash}).json() == {"model": "tiny"}
    assert {path.name for path in (app.paths.models / "tiny").iterdir()} == before
    assert page.get("/state").json()["trash"] == []
    assert page.post("/models/restore", json={"trash": trash}).status_code == 400
    assert page.post("/models/restore", json={"trash": "../models"}).status_code == 400
    assert page.post("/models/discard", json={"model": "../secret"}).status_code == 400


def test_a_model_in_use_is_not_discarded(echo: App) -> None:
    with serving(echo) as address:
        answer = httpx.post(f"{address}/paddock/workshop/models/discard", json={"model": "tiny"}, timeout=60)
    assert answer.status_code == 400
    assert "is loaded" in answer.json()["error"]


def test_an_unexpected_error_does_not_stop_the_jobs_after_it(
    app: App, page: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def broken(*_: object) -> None:
            raise OSError("disk")

        patch.setattr(app.jobs, "run", broken)
        broken_job = _start(page)
        _wait(app, lambda: app.job_queue.last_ended is not None)
    assert _status(app, broken_job) == "failed"
    id = _start(page)
    _wait(app, _ended(app, id))
    assert _status(app, id) == "finished"
