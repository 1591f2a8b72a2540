"""The event stream of a chat, over HTTP, with the echo loader."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from modules.app import App
from tests.support.server import serving

# Whole servers.
pytestmark = pytest.mark.slow

PATIENCE = 90.0


@pytest.fixture
def client(echo: App) -> Iterator[httpx.Client]:
    """Return a client of the running server."""
    with serving(echo) as address, httpx.Client(base_url=f"{address}/paddock", timeout=PATIENCE) as client:
        yield client


@contextmanager
def events(client: httpx.Client, path: str) -> Iterator[Iterator[tuple[str, Any, int]]]:
    """Yield (name, value, bytes) of each event, in order."""
    with client.stream("GET", path) as response:
        assert response.status_code == 200

        def read() -> Iterator[tuple[str, Any, int]]:
            name = ""
            for line in response.iter_lines():
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    yield name, json.loads(line[6:]), len(line)

        yield read()


def until(stream: Iterator[tuple[str, Any, int]], name: str) -> Any:
    """Return the value of the next event of this name."""
    return next(value for found, value, _ in stream if found == name)


def begin(client: httpx.Client, text: str) -> str:
    chat = client.post("/chats", json={}).json()["id"]
    client.post(f"/chats/{chat}/send", json={"text": text}).raise_for_status()
    return str(chat)


def test_a_follower_gets_the_chat_the_growth_and_the_settled_reply(client: httpx.Client) -> None:
    chat = client.post("/chats", json={}).json()["id"]
    with events(client, f"/chats/{chat}/events") as stream:
        first = until(stream, "messages")
        assert first == {"title": "New chat", "keep": 0, "set": [], "add": [], "living": None, "cut": None}
        client.post(f"/chats/{chat}/send", json={"text": "one **two** three"}).raise_for_status()
        cards = (card for name, value, _ in stream if name == "messages" for card in [*value["set"], *value["add"]])
        reply = next(card for card in cards if card["role"] == "assistant" and "parts" in card)
    assert "<strong>two</strong>" in reply["parts"][0]["html"]
    assert "3 tokens" in reply["statistics"]


def test_a_late_follower_gets_the_text_so_far_and_then_the_rest(client: httpx.Client, echo: App) -> None:
    chat = begin(client, "!long a b c")
    living = echo.chats.live_reply(chat)
    assert living is not None
    with events(client, f"/chats/{chat}/events") as first:
        while until(first, "living")["tokens"] < 50:
            pass
        with events(client, f"/chats/{chat}/events") as second:
            grown = until(second, "living")
            assert grown["tokens"] >= 50
            assert grown["parts"][0]["tail"].count("!long") >= 50 // 4
            client.post(f"/chats/{chat}/stop", json={})
            for stream in (first, second):
                assert any(n == "messages" and v["living"] is None for n, v, _ in stream)


def test_a_reply_is_sent_from_its_beginning_when_its_branch_is_shown_again(client: httpx.Client) -> None:
    def post(verb: str, **body: Any) -> None:
        client.post(f"/chats/{chat}/{verb}", json=body).raise_for_status()

    chat = client.post("/chats", json={}).json()["id"]
    with events(client, f"/chats/{chat}/events") as stream:
        until(stream, "messages")
        post("send", text="first")
        cards = (card for name, value, _ in stream if name == "messages" for card in [*value["set"], *value["add"]])
        asked = next(card["id"] for card in cards if card["role"] == "user")
        post("delete", message=asked)
        post("send", text="!long a b c")
        while until(stream, "living")["tokens"] < 50:
            pass
        post("undelete", message=asked)
        left = next(value for name, value, _ in stream if name == "messages" and asked in _ids(value))
        assert left["living"] and left["living"] not in _ids(left)
        post("switch", message=asked, version=2)
        found = next(value for name, value, _ in stream if name == "messages" and left["living"] in _ids(value))
        assert found["living"] == left["living"]
        (grown,) = until(stream, "living")["parts"]
        assert grown["cut"] == 0 and grown["tail"].count("!long") >= 50 // 4
        post("stop")


def _ids(change: dict[str, Any]) -> list[str]:
    return [card["id"] for card in [*change["set"], *change["add"]]]


def test_bytes_a_token_do_not_grow_with_the_chat(client: httpx.Client, echo: App) -> None:
    def cost(messages: int) -> float:
        chat, parent = echo.chats.create().id, None
        for number in range(messages):
            parent = echo.chats.store.add(
                chat, parent, "assistant" if number % 2 else "user", f"message {number} " * 40
            )
        with events(client, f"/chats/{chat}/events") as stream:
            until(stream, "messages")
            client.post(f"/chats/{chat}/send", json={"text": "!long some words"}).raise_for_status()
            sent, tokens = 0, 0
            for name, value, size in stream:
                sent += size
                if name == "living" and (tokens := value["tokens"]) > 300:
                    break
            client.post(f"/chats/{chat}/stop", json={})
        return sent / tokens

    assert cost(400) < 1.2 * cost(0)


def test_tokens_are_batched_into_few_events(client: httpx.Client) -> None:
    chat = begin(client, "!long a b c")
    with events(client, f"/chats/{chat}/events") as stream:
        first = until(stream, "living")["tokens"]
        count, tokens = 0, first
        while tokens < first + 200:
            tokens, count = until(stream, "living")["tokens"], count + 1
        client.post(f"/chats/{chat}/stop", json={})
    assert count <= 40


def test_a_follower_that_disconnects_is_unsubscribed(
    client: httpx.Client, echo: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = begin(client, "!long a b c")
    living = echo.chats.live_reply(chat)
    assert living is not None
    begun, ended = threading.Event(), threading.Event()
    on_change = living.generation.on_change

    def counted(callback: Callable[[], None]) -> Callable[[], None]:
        release = on_change(callback)
        begun.set()

        def unsubscribe() -> None:
            release()
            ended.set()

        return unsubscribe

    monkeypatch.setattr(living.generation, "on_change", counted)
    with events(client, f"/chats/{chat}/events") as stream:
        until(stream, "living")
        assert begun.is_set() and not ended.is_set()
    assert ended.wait(PATIENCE)
    client.post(f"/chats/{chat}/stop", json={})


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/chats/nope/send", {"text": "x"}, "chat"),
        ("/chats/nope/dance", {}, "no action named 'dance'"),
        ("/notebook/dance", {}, "no action named 'dance'"),
        ("/model/load", {"model": "nope"}, "no model named"),
    ],
)
def test_a_bad_request_is_answered_with_a_sentence(client: httpx.Client, path: str, body: Any, words: str) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_a_question_cannot_be_edited_to_an_empty_text(client: httpx.Client) -> None:
    chat = client.post("/chats", json={}).json()["id"]
    client.post(f"/chats/{chat}/send", json={"text": "words"})
    with events(client, f"/chats/{chat}/events") as stream:
        asked = until(stream, "messages")["add"][0]["id"]
    answer = client.post(f"/chats/{chat}/edit", json={"message": asked, "text": " "})
    assert answer.status_code == 400
    assert "empty message" in answer.json()["error"]
    assert client.get(f"/chats/{chat}/messages/{asked}").json() == {"text": "words"}


@pytest.mark.parametrize("name", ["../page.py", "%2e%2e/page.py", "/etc/passwd", "..%5cpage.py", "nothing.js"])
def test_only_the_page_s_own_files_are_served(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/static/{name}")
    assert answer.status_code in (400, 404)
    assert "build_page" not in answer.text


def test_a_follower_gets_each_change_of_the_list_of_chats(client: httpx.Client) -> None:
    chat = client.post("/chats", json={}).json()["id"]
    with events(client, f"/chats/{chat}/events") as stream:
        assert [head["id"] for head in until(stream, "chats")] == [chat]
        other = client.post("/chats", json={}).json()["id"]
        assert {head["id"] for head in until(stream, "chats")} == {chat, other}
        client.post(f"/chats/{chat}/trash", json={})
        assert [head["id"] for head in until(stream, "chats")] == [other]
