"""The path and the address of a reverse proxy: what is taken for one, and what is taken off."""

from __future__ import annotations

import dataclasses
from typing import Any

import httpx
import pytest

from modules.api.root_path import _OWN, RootPathMiddleware
from modules.app import App
from modules.protocol.errors import PaddockError
from modules.settings.access import parse_public_address
from modules.settings.config import Config
from modules.ui.gradio_internals.served_routes import with_page_origin
from modules.ui.routes import router
from tests.support.event_loop import run_async
from tests.support.server import serving


def _inner(root: str, path: str) -> str:
    """Return the path that the application sees, or the redirect's address."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        assert scope["raw_path"].decode().startswith("/")

    async def send(message: Any) -> None:
        seen.extend(value.decode() for name, value in message.get("headers", ()) if name == b"location")

    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"a=1"}
    run_async(RootPathMiddleware(app, root)({**scope, "headers": []}, None, send))  # type: ignore[arg-type]
    return seen[0]


@pytest.mark.parametrize(
    ("root", "path", "inner"),
    [
        ("", "/v1/models", "/v1/models"),
        ("/chat", "/chat/v1/models", "/v1/models"),
        ("/chat", "/v1/models", "/v1/models"),
        ("/chat", "/chat/", "/"),
        ("/chat", "/chat", "/chat/?a=1"),
        ("/chat", "/chatter/x", "/chatter/x"),
        ("/a/b", "/a/b/chat/x", "/chat/x"),
        ("/a/b", "/a/x", "/a/x"),
        ("/paddock", "/paddock/", "/"),
        ("/paddock", "/paddock/v1/models", "/v1/models"),
        ("/paddock", "/paddock/static/main.js", "/paddock/static/main.js"),
        ("/paddock", "/paddock/paddock/static/main.js", "/paddock/static/main.js"),
        ("/paddock", "/paddock/paddock/chats", "/paddock/chats"),
        ("/paddock", "/paddock/chats", "/paddock/chats"),
        ("/paddock", "/paddock/page-0/static/x.js", "/page-0/static/x.js"),
        ("/chat", "/chat/../v1/models", "/../v1/models"),
    ],
)
def test_the_path_is_taken_off_once(root: str, path: str, inner: str) -> None:
    assert _inner(root, path) == inner


def test_the_root_path_knows_all_of_the_pages_routes(app: App) -> None:
    paths = [getattr(route, "path", "") for route in router(app).routes]
    assert len(paths) > 10 and not [path for path in paths if not _OWN.match(path.replace("{name}", "x"))]


@pytest.mark.parametrize(
    ("url", "path", "found"),
    [
        ("", "", ("", "")),
        ("https://example.org", "", ("https://example.org", "")),
        ("HTTP://Example.org:81/", "", ("http://example.org:81", "")),
        ("https://example.org/chat/", "", ("https://example.org", "/chat")),
        ("https://[2001:db8::1]/a/b", "", ("https://[2001:db8::1]", "/a/b")),
        ("", "chat", ("", "/chat")),
        ("", "/chat/", ("", "/chat")),
        ("https://example.org", "/chat", ("https://example.org", "/chat")),
        ("https://example.org/chat", "/chat", ("https://example.org", "/chat")),
    ],
)
def test_a_public_address_is_an_origin_and_a_path(url: str, path: str, found: tuple[str, str]) -> None:
    assert parse_public_address(url, path) == found


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("example.org", ""),
        ("ftp://example.org", ""),
        ("https://", ""),
        ("https://user@example.org", ""),
        ("https://example.org?x", ""),
        ("https://example.org/#x", ""),
        ("https://example.org/a", "/b"),
        ("https://[::1", ""),
        ("https://a b", ""),
        ("", "/v1"),
        ("", "/v1/x"),
        ("", "/file"),
        ("", "/page-x"),
        ("", "/a b"),
        ("", "/a//b"),
        ("", "/../x"),
        ("", "/a/./b"),
    ],
)
def test_an_invalid_public_address_is_an_error_at_start(url: str, path: str) -> None:
    with pytest.raises(PaddockError):
        parse_public_address(url, path)


def test_gradio_gets_the_address_at_which_the_page_was_opened() -> None:
    given = [(b"host", b"127.0.0.1:1"), (b"x-forwarded-host", b"evil.test"), (b"referer", b"https://a.test:8/x?y")]
    assert dict(with_page_origin(given)) == {
        **dict(given),
        b"x-forwarded-host": b"a.test:8",
        b"x-forwarded-proto": b"https",
    }
    assert with_page_origin(given[:2]) == given[:2]


def test_a_proxys_foreign_address_gets_the_page_and_a_sentence(config: Config) -> None:
    app = App(dataclasses.replace(config, no_model=True))
    try:
        with serving(app) as address, httpx.Client(base_url=address, timeout=60) as client:
            foreign = {"Origin": "http://paddock.lan"}
            assert client.get("/paddock/static/main.js", headers=foreign).status_code == 200
            assert client.get("/paddock/static/../start", headers=foreign).status_code == 403
            assert client.get("/paddock/start", headers=foreign).status_code == 403
            answer = client.post("/paddock/chats", headers=foreign)
            assert answer.status_code == 403 and "--public-url" in answer.json()["error"]["message"]
    finally:
        app.close()
