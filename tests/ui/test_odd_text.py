"""Halves of characters, in files of characters, file names and requests, break no route of the page."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modules.app import App
from tests.support.server import serving


@pytest.fixture
def page(app: App) -> Iterator[httpx.Client]:
    with serving(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def test_the_start_accepts_characters_and_files_with_odd_names(app: App, page: httpx.Client) -> None:
    folder = app.paths.characters
    folder.mkdir(parents=True)
    text = r'{"name": "Fox \ud83e\udd8a \ud83e", "greeting": "Hi \ud83d\ude00 \udd8a", "context": "\ud83d"}'
    for name in ("fox.json", "vixen.yaml"):
        (folder / name).write_text(text)
    for name in ("fox", "vixen"):
        app.settings.set("character", name)
        answer = page.get("/paddock/start")
        assert answer.status_code == 200
        assert answer.json()["character"] == {"name": "Fox 🦊 \ufffd", "greeting": "Hi 😀 \ufffd"}
        assert page.post("/paddock/chats").status_code == 200
    app.settings.set("character", None)
    app.settings.set("name1", "\ud83e")
    assert app.settings.get("name1") == "\ufffd"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are no text")
def test_a_file_name_that_is_not_text_breaks_no_list(app: App, page: httpx.Client) -> None:
    (Path(app.paths.models) / os.fsdecode(b"caf\xe9.gguf")).write_bytes(b"GGUF")
    answer = page.get("/paddock/start")
    assert answer.status_code == 200 and answer.json()["models"]


UNREADABLE = "The page sent a request with a "


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (r'{"version": "\ud83d"}', 422, UNREADABLE),
        (r'{"text": {"\ud83d": 1}}', 422, UNREADABLE),
        (r'["\ud83d"]', 422, UNREADABLE),
        ("[1", 400, "The body is not JSON: "),
    ],
)
def test_an_invalid_body_is_refused_with_a_sentence(page: httpx.Client, body: str, status: int, words: str) -> None:
    answer = page.post("/paddock/chats/x/send", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"].startswith(words)


def test_half_a_character_in_what_is_typed_is_no_server_error(page: httpx.Client) -> None:
    chat = page.post("/paddock/chats").json()["id"]
    headers = {"Content-Type": "application/json"}
    for path in (f"chats/{chat}/rename", f"chats/{chat}/switch", "chats/x/send", "notebook/write", "model/load"):
        for field in ("title", "message", "text", "model", "author"):
            answer = page.post(f"/paddock/{path}", content=rf'{{"{field}": "a \ud83e"}}', headers=headers)
            assert answer.status_code in (200, 400, 422), path
    assert page.get("/paddock/chats").status_code == 200
    assert page.get("/paddock/chats", params={"search": "\ufffd"}).status_code == 200
