"""The settings of one chat over the page's routes, and what replies make of them."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator

import httpx
import pytest

from modules.app import App
from modules.protocol.errors import PaddockError
from tests.support.models import write_model_folder
from tests.support.server import serving

PATIENCE = 90


@pytest.fixture
def client(echo: App) -> Iterator[httpx.Client]:
    """Return a client of the running server."""
    with serving(echo) as address, httpx.Client(base_url=f"{address}/paddock", timeout=PATIENCE) as client:
        yield client


def wait_for_reply(app: App, chat: str, messages: int) -> None:
    """Wait until the chat has so many messages and none is being written."""
    changed = threading.Event()
    end = app.chats.subscribe(chat, changed.set)
    while app.chats.live_reply(chat) or len(app.chats.messages(chat)) < messages:
        assert changed.wait(PATIENCE)
        changed.clear()
    end()


def test_the_panel_reads_changes_and_uses_the_settings_of_a_chat(client: httpx.Client, echo: App) -> None:
    chat = client.post("/chats").json()["id"]
    address = f"/chats/{chat}/settings"
    facts = client.get(address).json()
    assert (facts["settings"], facts["folder"], facts["inherited"]["model"]) == ({}, None, "tiny")
    assert "tiny" in facts["choices"]["models"] and "Neutral" in facts["choices"]["presets"]
    assert client.get("/chats/new/settings").json()["settings"] == {}
    changes = {"system": "Speak like <b>a pirate</b>.", "preset": "Neutral", "parameters": {"temperature": 0.3}}
    assert client.post(address, json={"changes": changes}).json()["settings"] == changes
    params, options = echo.chat_preferences.params(chat), echo.chat_preferences.options(chat)
    assert (params.temperature, params.top_k, options.system) == (0.3, 0, changes["system"])
    client.post(address, json={"changes": {"preset": None}})
    assert echo.chat_preferences.params(chat).top_k == echo.sampling.params().top_k
    # A wrong value is refused with a sentence, and nothing is stored.
    for wrong in ({"parameters": {"temperature": "hot"}}, {"parameters": {"nonsense": 1}}, {"system": 5}):
        answer = client.post(address, json={"changes": wrong})
        assert answer.status_code == 400 and answer.json()["error"], wrong
    assert client.post(address, json={"changes": {"system": "x" * 300_000}}).status_code == 400
    assert client.get(address).json()["settings"]["parameters"] == {"temperature": 0.3}


def test_a_preset_that_is_gone_names_the_panel(echo: App) -> None:
    chat = echo.chats.create().id
    echo.chats.settings.change(chat, {"preset": "Gone"})
    with pytest.raises(PaddockError, match="under This chat"):
        echo.chat_preferences.params(chat)


def test_the_system_prompt_is_the_chats_then_the_folders_then_the_session_tabs(echo: App) -> None:
    chats, preferences = echo.chats, echo.chat_preferences
    echo.settings.set("system", "of the session")
    chat = chats.create().id
    folder = chats.folders.create("Work")
    assert preferences.options(chat).system == "of the session"
    chats.folders.move(chat, folder.id)
    chats.folders.change(folder.id, {"system": "of the folder"})
    assert preferences.options(chat).system == "of the folder"
    chats.settings.change(chat, {"system": "of the chat"})
    assert preferences.options(chat).system == "of the chat"


def test_a_chat_that_names_another_model_has_it_loaded_and_is_answered_by_it(client: httpx.Client, echo: App) -> None:
    write_model_folder(echo.paths.models / "second")
    echo.model_settings.set("second", "echo", echo.registry.get("echo").settings(context=4096))
    chat = client.post("/chats").json()["id"]
    client.post(f"/chats/{chat}/settings", json={"changes": {"model": "second"}})
    assert client.post(f"/chats/{chat}/send", json={"text": "hello"}).json()["result"] == {"waiting": True}
    wait_for_reply(echo, chat, 2)
    reply = echo.chats.messages(chat)[-1]
    assert (reply.text, reply.meta["model"]) == ("hello", "second")
    # Another chat still has the page's model.
    other = client.post("/chats").json()["id"]
    client.post(f"/chats/{other}/send", json={"text": "hi"})
    wait_for_reply(echo, other, 2)
    assert echo.chats.messages(other)[-1].meta["model"] == echo.supervisor.state.model


def test_a_model_that_is_gone_is_named_in_the_chat(client: httpx.Client, echo: App) -> None:
    chat = client.post("/chats").json()["id"]
    client.post(f"/chats/{chat}/settings", json={"changes": {"model": "gone"}})
    client.post(f"/chats/{chat}/send", json={"text": "hello"})
    wait_for_reply(echo, chat, 2)
    messages = echo.chats.messages(chat)
    assert messages[0].text == "hello"
    assert "names the model gone" in messages[1].meta["error"] and "This chat" in messages[1].meta["error"]


def test_many_chats_folders_prompts_and_files_over_the_routes(client: httpx.Client, echo: App) -> None:
    first, second = (client.post("/chats").json()["id"] for _ in range(2))
    for text in ("hello", "<b>hi</b>"):
        client.post(f"/chats/{first if text == 'hello' else second}/send", json={"text": text})
    for chat in (first, second):
        wait_for_reply(echo, chat, 2)
    folder = client.post("/folders", json={"name": "Work"}).json()
    assert client.get("/folders").json() == [folder]
    moved = client.post("/chats/many", json={"chats": [first, "gone"], "action": "move", "folder": folder["id"]}).json()
    assert moved["done"] >= 1 and echo.chats.head(first).folder == folder["id"]
    assert client.post("/chats/many", json={"chats": [first], "action": "explode"}).status_code == 400
    found = client.get("/chats/search", params={"search": "HELLO"}).json()
    assert [hit["chat"] for hit in found["hits"]] == [first, first]
    # Every format is a file that never opens on this site.
    for kind in ("json", "html", "markdown", "textgen", "training"):
        answer = client.get(f"/chats/{second}/export", params={"format": kind})
        assert answer.status_code == 200, kind
        assert answer.headers["content-disposition"].startswith("attachment"), kind
        assert "sandbox" in answer.headers["content-security-policy"], kind
    assert "<b>hi" not in client.get(f"/chats/{second}/export", params={"format": "html"}).text
    assert client.get(f"/chats/{second}/export", params={"format": "exe"}).status_code == 400
    archive = client.get("/chats/export", params={"format": "json"}).content
    names = zipfile.ZipFile(io.BytesIO(archive)).namelist()
    assert sorted(names) == ["_b_hi__b_.json", "hello.json"]
    # What was exported comes in again; what is no chat gets a sentence.
    written = client.get(f"/chats/{first}/export").content
    answer = client.put("/chats/import", content=written).json()
    assert answer["sentence"] == "1 chat imported." and echo.chats.head(answer["chats"][0]).folder == folder["id"]
    assert client.put("/chats/import", content=b"{").status_code == 400
    client.post("/chats/many", json={"chats": [first, second], "action": "trash"})
    assert {chat["id"] for chat in client.get("/chats/trash").json()} == {first, second}
    purged = client.post("/chats/many", json={"chats": [first, answer["chats"][0]], "action": "purge"}).json()
    assert purged["done"] == 1 and "in the trash" in purged["problems"][0]
    assert client.post("/prompts", json={"name": "a b", "text": "x"}).status_code == 400
    client.post("/prompts", json={"name": "ab", "text": "x {{y}}"})
    assert client.get("/prompts").json() == [{"name": "ab", "text": "x {{y}}"}]
