"""Errors of an extension's script on the page are shown on its card."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.testclient import TestClient

from modules.plugins.extension_overview import extension_statuses
from modules.ui.routes import router
from tests.plugins.conftest import Talk


def test_faults_on_the_page_are_notes_of_the_running_extension(talk: Talk) -> None:
    talk.add("one", "def custom_js():\n    return 'x'")
    server = FastAPI()
    server.include_router(router(talk.app))
    client = TestClient(server)
    for text in (
        "TypeError: x is null.",
        "TypeError: x is null.",
        *(f"Error: {number}" for number in range(9)),
        "y" * 999,
    ):
        assert client.post("/paddock/extensions/one/fault", json={"text": text}).status_code == 200
    assert client.post("/paddock/extensions/none/fault", json={"text": "x"}).status_code == 200
    notes = next(status for status in extension_statuses(talk.manager) if status.name == "one").notes
    assert len(notes) == 5 and notes[0] == "Its script failed on the page: Error: 5."
    assert all(len(note) < 600 for note in notes)
    talk.manager.disable("one")
    talk.manager.enable("one")
    assert next(status for status in extension_statuses(talk.manager) if status.name == "one").notes == ()
