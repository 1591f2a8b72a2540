"""The page's routes for characters, personas, lorebooks and scenes: what they take, and how they return it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from modules.app import App
from modules.chat.roleplay.card_png import plain_picture
from tests.support.server import serving


@pytest.fixture
def client(echo: App) -> Iterator[httpx.Client]:
    """Return a client of the running server."""
    with serving(echo) as address, httpx.Client(base_url=f"{address}/paddock", timeout=90) as client:
        yield client


def test_a_character_goes_in_is_edited_and_comes_out(client: httpx.Client) -> None:
    card = {"name": "<b>Ada\ud800", "first_mes": "Hi", "description": "<script>1</script>", "x": 1}
    taken = client.put("/characters/import", params={"name": "../a.json"}, content=json.dumps(card).encode()).json()
    name = taken["name"]
    assert "/" not in name and "<" not in name
    shown = client.get("/characters/one", params={"name": name}).json()
    assert shown["fields"]["description"] == "<script>1</script>" and shown["picture"] == ""
    assert client.get("/characters/picture", params={"name": name}).status_code == 204
    client.put("/characters/picture", params={"name": name}, content=plain_picture(4, 4))
    picture = client.get("/characters/picture", params={"name": name})
    assert picture.headers["content-type"] == "image/png" and "sandbox" in picture.headers["content-security-policy"]
    saved = client.post("/characters/save", json={"name": name, "fields": {"greetings": ["One", "Two"]}}).json()
    assert saved["fields"]["greetings"] == ["One", "Two"] and saved["fields"]["description"] == "<script>1</script>"
    for form in client.get("/characters").json()["forms"]:
        file = client.get("/characters/export", params={"name": name, "form": form})
        assert file.status_code == 200 and file.headers["content-disposition"].startswith("attachment; filename*=")
        assert file.headers["content-type"] == "application/octet-stream"
    made = client.post("/characters/chat", json={"characters": [name]}).json()
    scene = client.get(f"/chats/{made['id']}/scene").json()
    assert scene["character"] == name and scene["group"] is None
    assert client.post("/characters/delete", json={"name": name}).json()["characters"] == []


def test_what_cannot_be_is_a_sentence(client: httpx.Client) -> None:
    chat = client.post("/chats", json={}).json()["id"]
    answers = [
        client.put("/characters/import", params={"name": "x.png"}, content=b"\x89PNG\r\n\x1a\nbroken"),
        client.get("/characters/one", params={"name": "../../settings"}),
        client.get("/characters/export", params={"name": "gone", "form": "png"}),
        client.put("/characters/picture", params={"name": "gone"}, content=plain_picture(4, 4)),
        client.post("/characters/save", json={"name": "", "fields": {}}),
        client.post("/characters/chat", json={"characters": []}),
        client.get("/personas/picture", params={"name": "../x"}),
        client.post("/personas/save", json={"name": " "}),
        client.put("/lorebooks/import", params={"name": "x.json"}, content=b"{}"),
        client.post("/lorebooks/save", json={"name": "", "book": {"entries": 5}}),
        client.get("/lorebooks/one", params={"name": "gone"}),
        client.post(f"/chats/{chat}/speak", json={"speaker": "gone"}),
        client.post(f"/chats/{chat}/insert", json={"after": "gone", "role": "user", "text": "x"}),
        client.post(f"/chats/{chat}/impersonate"),
    ]
    for answer in answers:
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"].endswith("."), answer.text


def test_the_model_writes_for_the_user(client: httpx.Client) -> None:
    client.post("/characters/save", json={"name": "", "fields": {"name": "Ada", "greetings": ["Hello"]}})
    chat = client.post("/characters/chat", json={"characters": ["Ada"]}).json()["id"]
    answer = client.post(f"/chats/{chat}/impersonate")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8" and answer.text.strip()
