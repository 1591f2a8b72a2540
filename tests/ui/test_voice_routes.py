"""The page's routes for voice and for commands, without the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import APIRouter, FastAPI
from starlette.testclient import TestClient

from modules.ui.command_routes import add_command_routes
from modules.ui.json_errors import PaddockRoute, SafeJSONResponse
from modules.ui.voice_routes import add_voice_routes
from tests.plugins.conftest import Place

VOICE = """
from starlette.responses import JSONResponse, Response

def api_routes():
    refused = JSONResponse({"error": {"message": "This voice is hoarse."}}, 400)
    read = Response(b"RIFF", media_type="audio/wav")
    return {
        "POST /v1/audio/speech": lambda r: refused if b"hoarse" in r.body else read,
        "POST /v1/audio/transcriptions": lambda r: JSONResponse({"text": f"{len(r.body)} bytes"}),
    }
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return extensions, none of which is on."""
    place = Place(tmp_path)
    yield place
    place.manager.close()


@pytest.fixture
def client(place: Place) -> TestClient:
    """Return a client of the routes."""
    chosen: dict[str, object] = {}
    app = SimpleNamespace(
        extensions=place.manager,
        may_manage=False,
        library=SimpleNamespace(names=lambda: ["small"]),
        presets=SimpleNamespace(names=lambda: ["Precise"]),
        sampling=SimpleNamespace(choose_preset=lambda name: chosen.update(preset=name)),
        settings=SimpleNamespace(set=lambda key, value: chosen.update({key: value})),
        supervisor=SimpleNamespace(state_store=SimpleNamespace(publish=lambda: None)),
        chosen=chosen,
    )
    routes = APIRouter(route_class=PaddockRoute, default_response_class=SafeJSONResponse)
    add_voice_routes(routes, app)  # type: ignore[arg-type]
    add_command_routes(routes, app)  # type: ignore[arg-type]
    server = FastAPI()
    server.include_router(routes)
    server.state.chosen = chosen
    return TestClient(server)


def test_without_a_voice_the_page_hears_which_extension_to_switch_on(client: TestClient) -> None:
    assert client.get("/voice").json() == {"speech": False, "dictation": False}
    answer = client.post("/voice/speech", json={"text": "hello"})
    assert answer.status_code == 400 and "Switch on Read aloud" in answer.json()["error"]
    answer = client.post("/voice/dictation", content=b"RIFF")
    assert answer.status_code == 400 and "Switch on Dictation" in answer.json()["error"]


def test_an_extension_reads_aloud_and_hears(place: Place, client: TestClient) -> None:
    place.add("voice", VOICE)
    assert client.get("/voice").json() == {"speech": True, "dictation": True}
    answer = client.post("/voice/speech", json={"text": "hello"})
    assert (answer.content, answer.headers["content-type"]) == (b"RIFF", "audio/wav")
    assert client.post("/voice/dictation", content=b"12345").json() == {"text": "5 bytes"}


def test_the_reason_of_a_voice_that_refuses_reaches_the_person(place: Place, client: TestClient) -> None:
    place.add("voice", VOICE)
    answer = client.post("/voice/speech", json={"text": "hoarse"})
    assert (answer.status_code, answer.json()["error"]) == (400, "This voice is hoarse.")


def test_the_palette_offers_no_models_to_who_may_not_load_them(client: TestClient) -> None:
    assert client.get("/commands/choices").json() == {"models": [], "presets": ["Neutral", "Precise"]}


def test_the_palette_chooses_a_preset_and_the_appearance(client: TestClient) -> None:
    client.post("/commands/preset", json={"value": "Precise"}).raise_for_status()
    client.post("/commands/appearance", json={"value": "dark"}).raise_for_status()
    assert client.app.state.chosen == {"preset": "Precise", "theme": "dark"}  # type: ignore[attr-defined]
    answer = client.post("/commands/appearance", json={"value": "<b>"})
    assert answer.status_code == 400 and "There is no appearance '<b>'" in answer.json()["error"]
