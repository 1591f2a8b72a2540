"""The measurements for Prometheus and the request log, of a real server."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from modules.app import App
from modules.settings.config import Config
from tests.conftest import ROOMY
from tests.support.server import serving

# Whole servers.
pytestmark = pytest.mark.slow


@contextmanager
def _serve(config: Config, **changes: Any) -> Iterator[tuple[App, httpx.Client]]:
    app = App(dataclasses.replace(config, **changes))
    try:
        app.models.load("tiny", "echo", ROOMY)
        with serving(app) as address, httpx.Client(base_url=address, timeout=90) as client:
            yield app, client
    finally:
        app.close()


@pytest.fixture
def served(config: Config) -> Iterator[tuple[App, httpx.Client]]:
    """Serve with a model in the echo loader. Return the App and a client."""
    with _serve(config) as both:
        yield both


def _values(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """Return the measurements: (name, then label values in the order of their names) -> value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found[tuple([sample.name, *(value for _, value in sorted(sample.labels.items()))])] = sample.value
    return found


def test_requests_tokens_and_times_are_counted_per_model(served: tuple[App, httpx.Client]) -> None:
    _, client = served
    for _ in range(3):
        assert client.post("/v1/completions", json={"prompt": "a b c d", "max_tokens": 3}).status_code == 200
    values = _values(client)
    # Labels: method, route, status.
    assert values["paddock_requests_total", "POST", "/v1/completions", "200"] == 3
    assert values["paddock_request_seconds_count", "/v1/completions"] == 3
    assert values["paddock_generations_total", "length", "tiny"] == 3
    assert values["paddock_generated_tokens_total", "tiny"] == 9
    assert values["paddock_prompt_tokens_total", "tiny"] >= 12
    assert values["paddock_time_to_first_token_seconds_count", "tiny"] == 3
    assert values["paddock_tokens_per_second_count", "tiny"] == 3
    assert values["paddock_memory_bytes", "host"] > 1e7 and values["paddock_memory_bytes", "workers"] > 1e6
    assert values["paddock_model_loaded", "echo", "tiny"] == 1
    assert values["paddock_generations_running", "tiny"] == 0


def test_a_reply_of_the_page_counts_too_and_one_that_runs_is_shown(served: tuple[App, httpx.Client]) -> None:
    app, client = served
    generation = app.supervisor.generate("on !long", app.presets.merge("", {"max_new_tokens": 900_000}))
    assert _values(client)["paddock_generations_running", "tiny"] == 1
    generation.cancel()
    assert generation.wait(60)
    assert _values(client)["paddock_generations_total", "cancelled", "tiny"] == 1


def test_loads_failures_and_deaths_are_counted(served: tuple[App, httpx.Client]) -> None:
    app, client = served
    app.models.load("tiny", "echo", ROOMY)
    client.post("/v1/completions", json={"prompt": "one two three four five six !crash"})
    values = _values(client)
    assert values["paddock_model_loads_total", "tiny", "ready"] == 2
    assert values["paddock_worker_deaths_total", "tiny"] == 1
    with pytest.raises(Exception, match="refuses"):
        app.models.load("tiny", "echo", {**ROOMY, "on_load": "refuse"})
    assert _values(client)["paddock_model_loads_total", "tiny", "failed"] == 1


def test_what_clients_make_up_makes_no_series(served: tuple[App, httpx.Client]) -> None:
    _, client = served
    client.post("/v1/completions", json={"prompt": "x", "model": "nope"})
    client.get("/v1/models/nope")
    client.get("/v1/wibble")
    before = len(_values(client))
    for number in range(20):
        client.post("/v1/completions", json={"prompt": "x", "model": f"made-up-{number}"})
        client.get(f"/v1/models/made-up-{number}")
        client.get(f"/v1/made-up-{number}")
        client.get(f"/v1/models/made/up/{number}?made-up={number}")
    assert len(_values(client)) == before
    text = client.get("/metrics").text
    assert "made" not in text and 'route="/v1/models/{name}"' in text and 'route="none"' in text


def test_the_measurements_need_a_secret(config: Config) -> None:
    with _serve(config, api_key="key", admin_key="admin", password="word") as (_, client):
        for secret, status in (("", 401), ("Bearer wrong", 401), ("Bearer key", 200), ("Bearer admin", 200)):
            assert client.get("/metrics", headers={"Authorization": secret}).status_code == status
        assert client.get("/metrics", auth=("paddock", "key")).status_code == 200


def _logged(capsys: pytest.CaptureFixture[str], path: str) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if f" {path}" in line]


def test_a_request_is_one_line_without_what_was_said(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    with _serve(config, log_requests=True) as (_, client):
        client.post("/v1/completions", json={"prompt": "a secret word", "max_tokens": 3})
        client.get("/paddock/start")
    (line,) = _logged(capsys, "/v1/completions")
    form = r"\S+T\S+ 127\.0\.0\.1 POST /v1/completions 200 seconds=\d+\.\d{3} model=tiny prompt_tokens=3 tokens=3 "
    assert re.fullmatch(form + r"first_token=\d+\.\d{3} end=\w+", line), line


def test_a_request_with_line_breaks_is_one_line(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    with _serve(config, log_requests=True) as (_, client):
        client.get("/v1/x%0a2026%20forged%1b[31m")
    lines = [line for line in capsys.readouterr().out.splitlines() if "forged" in line]
    assert len(lines) == 1 and '"/v1/x\\n2026 forged\\u001b[31m" 404' in lines[0]


def test_refused_requests_are_logged_and_the_secret_is_not(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    with _serve(config, log_requests=True, api_key="key") as (_, client):
        client.get("/v1/models", headers={"Authorization": "Bearer guessed"})
    (line,) = _logged(capsys, "/v1/models")
    assert " 401 " in line and "guessed" not in line


def test_prompts_are_logged_only_when_wanted(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    with _serve(config, log_requests=True, log_prompts=True) as (_, client):
        client.post("/v1/completions", json={"prompt": "a secret\nword", "max_tokens": 3})
        client.post("/v1/completions", content=b"x" * 100_000)
    first, second = _logged(capsys, "/v1/completions")
    assert r"a secret\\nword" in first
    assert len(second) < 11_000
