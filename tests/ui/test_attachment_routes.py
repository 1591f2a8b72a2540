"""The page's routes for attachments: what they take, and how they return it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from modules.app import App
from tests.chat.attachments.test_attachment_store import picture
from tests.support.server import serving
from tests.support.sounds import mp3, tone


@pytest.fixture
def client(echo: App) -> Iterator[httpx.Client]:
    """Return a client of the running server."""
    with serving(echo) as address, httpx.Client(base_url=f"{address}/paddock", timeout=90) as client:
        yield client


def _put(client: httpx.Client, name: str, data: bytes) -> httpx.Response:
    return client.put("/attachments", params={"name": name}, content=data)


def test_a_document_is_attached_read_and_saved_but_never_opened_on_the_site(client: httpx.Client) -> None:
    page = b"<!doctype html><title>x</title><script>alert(1)</script><p>Seven plain words."
    shown = _put(client, "../<b>page</b>.html", page).json()
    assert (shown["name"], shown["kind"], shown["tokens"]) == ("b>.html", "document", 4)
    assert shown["label"] == "77 bytes · 4 tokens"
    address = f"/attachments/{shown['hash']}"
    assert client.get(f"{address}/text").json() == {"text": "Seven plain words.\n", "notes": []}
    answer = client.get(f"{address}/file", params={"name": 'a"\r\nb\u202e.html'})
    assert answer.content == page
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a%22b.html"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_an_image_is_shown_and_runs_nothing(client: httpx.Client) -> None:
    shown = _put(client, "a.svg", picture()).json()
    assert (shown["kind"], shown["label"]) == ("image", f"{len(picture())} bytes · 4 × 3")
    answer = client.get(f"/attachments/{shown['hash']}/file")
    assert (answer.headers["content-type"], answer.content) == ("image/png", picture())
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    drawing = _put(client, "b.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>').json()
    answer = client.get(f"/attachments/{drawing['hash']}/file")
    assert (drawing["kind"], answer.headers["content-type"]) == ("document", "application/octet-stream")


@pytest.mark.parametrize("hash", ["..%2f..%2fchats.sqlite3", "%2e%2e", "a" * 64, "A" * 64])
@pytest.mark.parametrize("what", ["file", "text", "facts"])
def test_no_address_leads_to_another_file(client: httpx.Client, hash: str, what: str) -> None:
    answer = client.get(f"/attachments/{hash}/{what}")
    assert answer.status_code in (400, 404) and "SQLite" not in answer.text


def test_what_cannot_be_read_is_refused_with_a_sentence(client: httpx.Client) -> None:
    answer = _put(client, "a.bin", b"\0\1\2")
    assert answer.status_code == 400 and answer.json()["error"].startswith("a.bin is no text file")
    answer = _put(client, "big.txt", b"x" * 50_000_001)
    assert answer.status_code == 400 and answer.json()["error"].startswith("big.txt has more than 50 MB")
    answer = _put(client, "huge.txt", b"x" * (65 << 20))
    assert answer.status_code == 413


def test_a_message_names_its_files_and_the_feed_has_them_without_their_text(client: httpx.Client) -> None:
    shown = _put(client, "notes.txt", b"The heron waits.").json()
    chat = client.post("/chats", json={}).json()["id"]
    files = [{"hash": shown["hash"], "name": "<i>notes</i>.txt"}]
    client.post(f"/chats/{chat}/send", json={"text": "Why?", "files": files}).raise_for_status()
    with client.stream("GET", f"/chats/{chat}/events") as response:
        lines = (line for line in response.iter_lines() if '"parts"' in line)
        first = next(lines)
    assert '{"kind":"document","name":"i>.txt","hash":"' in first and "heron" not in first


def test_a_file_that_is_gone_leaves_the_message_unsent(client: httpx.Client) -> None:
    chat = client.post("/chats", json={}).json()["id"]
    files = [{"hash": "a" * 64, "name": "notes.txt"}]
    answer = client.post(f"/chats/{chat}/send", json={"text": "Why?", "files": files})
    assert answer.status_code == 400 and answer.json()["code"] == "not_saved"
    assert answer.json()["error"].startswith("notes.txt cannot be sent. This file is not stored here any more.")


def test_an_image_has_the_tokens_that_the_loaded_model_counts_for_it(app: App) -> None:
    """The echo loader's mark of an image is one token. A model that cannot see takes none."""
    app.models.load("tiny", "echo", {"sees_images": True})
    with serving(app) as address, httpx.Client(base_url=f"{address}/paddock", timeout=90) as client:
        shown = _put(client, "a.png", picture()).json()
        assert (shown["length"], shown["tokens"]) == ("1 token", 1)
        app.models.load("tiny", "echo", {"sees_images": False})
        again = client.get(f"/attachments/{shown['hash']}/facts", params={"name": "a.png"}).json()
        assert (again["length"], again["tokens"]) == ("", 0)
        app.supervisor.unload()
        assert client.get(f"/attachments/{shown['hash']}/facts").json()["length"] == ""


def test_a_sound_is_played_and_runs_nothing(app: App) -> None:
    """The echo loader's mark of a sound is one token. A model that cannot hear takes none."""
    app.models.load("tiny", "echo", {"hears": True})
    with serving(app) as address, httpx.Client(base_url=f"{address}/paddock", timeout=90) as client:
        shown = _put(client, "a.txt", tone(seconds=65)).json()
        assert (shown["kind"], shown["mime"], shown["label"]) == ("audio", "audio/wav", "2.1 MB · 1:05")
        assert (shown["length"], shown["tokens"]) == ("1 token", 1)
        answer = client.get(f"/attachments/{shown['hash']}/file", headers={"Range": "bytes=0-3"})
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (206, b"RIFF", "audio/wav")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        app.models.load("tiny", "echo", {"hears": False})
        again = client.get(f"/attachments/{shown['hash']}/facts", params={"name": "a.wav"}).json()
        assert (again["label"], again["length"], again["tokens"]) == ("2.1 MB · 1:05", "", 0)
        assert _put(client, "a.mp3", mp3()).json()["mime"] == "audio/mpeg"
        damaged = _put(client, "b.wav", tone()[:30])
        assert damaged.status_code == 400 and damaged.json()["error"].startswith("b.wav is damaged")
