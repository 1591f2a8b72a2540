"""Host, Origin and secrets: who may talk to the server."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from modules.api.security import SecurityMiddleware
from modules.settings.config import Config


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand for the application, which no request of these tests reaches."""


def _basic(secret: str) -> str:
    return "Basic " + base64.b64encode(f"paddock:{secret}".encode()).decode()


def _judge(config: Config, path: str = "/", **headers: str) -> int:
    """Return the status of the middleware for a request. `_client` and the like are parts of the ASGI scope."""
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "scheme": "http", "http_version": "1.1"}
    scope |= {"client": ("127.0.0.1", 5000)} | {name[1:]: value for name, value in headers.items() if name[0] == "_"}
    plain = {"host": "127.0.0.1:7860"} | {name.replace("_", "-"): v for name, v in headers.items() if name[0] != "_"}
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in plain.items()]
    return SecurityMiddleware(_app, config).check({**scope, "headers": pairs})[0]


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:1", "localhost", "LocalHost:7860", "[::1]:7860"])
def test_this_machine_is_let_in(config: Config, host: str) -> None:
    assert _judge(config, host=host, origin=f"http://{host}") == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.test"},
        {"host": "127.0.0.1.evil.test"},
        {"host": ""},
        {"origin": "http://evil.test"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "https://127.0.0.1:7860"},
        {"origin": "file://127.0.0.1:7860"},
        {"origin": "null"},
        {"origin": "null", "sec_fetch_site": "same-origin"},
        {"origin": "http://[::1", "sec_fetch_site": "same-origin"},
        {"origin": "http://evil.test", "sec_fetch_site": "same-site", "sec_fetch_mode": "cors"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"},
        {"sec_fetch_site": "same-site", "sec_fetch_mode": "no-cors"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"},
        {"host": "evil.test", "x_forwarded_host": "127.0.0.1:7860"},
        {"host": "evil.test", "origin": "http://evil.test", "sec_fetch_site": "same-origin"},
    ],
)
def test_another_site_is_refused(config: Config, headers: dict[str, str]) -> None:
    assert _judge(config, **headers) == 403


@pytest.mark.parametrize(
    "host", ["[::1", "::1", "[", "]:80", "a b", "127.0.0.1:", "127.0.0.1:x", "u@127.0.0.1", "\xff"]
)
def test_a_malformed_host_is_a_bad_request(config: Config, host: str) -> None:
    assert _judge(config, host=host) == 400


@pytest.mark.parametrize(
    "origin", ["http://[::1", "http://", "http://]:80", "://", "http://a:99999999", "\xff", "[", " "]
)
def test_a_malformed_origin_is_refused(config: Config, origin: str) -> None:
    assert _judge(config, origin=origin) == 403


def test_headers_that_decide_come_once(config: Config) -> None:
    pairs = [(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1"), (b"origin", b"http://evil.test")]
    scope = {"type": "http", "path": "/", "scheme": "http", "headers": pairs}
    assert SecurityMiddleware(_app, config).check(scope)[0] == 400


def test_a_link_from_another_site_still_opens_the_page(config: Config) -> None:
    assert _judge(config, sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="document") == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        # A proxy that replaces Host, and a browser's word that the page is of the same origin.
        ({"origin": "http://127.0.0.1:17951", "sec_fetch_site": "same-origin"}, 200),
        ({"origin": "http://paddock.test", "x_forwarded_host": "paddock.test"}, 200),
        ({"origin": "http://paddock.test:81", "x_forwarded_host": "paddock.test:81, inner"}, 200),
        ({"origin": "https://paddock.test", "x_forwarded_host": "paddock.test", "x_forwarded_proto": "https"}, 200),
        ({"origin": "https://paddock.test", "x_forwarded_host": "paddock.test"}, 403),
        ({"origin": "http://evil.test", "x_forwarded_host": "paddock.test"}, 403),
        ({"origin": "http://paddock.test", "x_forwarded_host": "[oops"}, 403),
    ],
)
def test_a_proxys_own_address_is_compared_with_the_origin(config: Config, headers: dict[str, str], status: int) -> None:
    assert _judge(config, **headers) == status


def test_the_public_address_is_ours(config: Config) -> None:
    public = dataclasses.replace(config, public_origin="https://paddock.test")
    assert _judge(public, host="paddock.test", origin="https://paddock.test") == 200
    assert _judge(public, origin="https://paddock.test:443") == 200
    assert _judge(public, origin="http://evil.test") == 403
    assert _judge(public, host="evil.test") == 403


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("", 401),
        ("Bearer wrong", 401),
        ("Bearer key", 401),
        ("Bearer w\xc3\xb6rd", 200),
        ("bearer  w\xc3\xb6rd ", 200),
        (_basic("wörd"), 200),
        (_basic("key"), 401),
        (_basic("wrong"), 401),
        (_basic(""), 401),
        ("Basic !!!", 401),
        ("Basic", 401),
        ("Bearer", 401),
        ("Bearer key, Bearer w\xc3\xb6rd", 401),
        ("Digest w\xc3\xb6rd", 401),
    ],
)
def test_the_page_needs_the_password(config: Config, authorization: str, status: int) -> None:
    secret = dataclasses.replace(config, listen=True, password="wörd", api_key="key")
    assert _judge(secret, host="any.test", authorization=authorization) == status
    assert _judge(secret, host="any.test", authorization=authorization, _type="websocket") == status


@pytest.mark.parametrize("path", ["/v1/models", "/v1/", "/v1/../paddock/start", "/v1//x"])
def test_the_key_opens_the_api(config: Config, path: str) -> None:
    secret = dataclasses.replace(config, listen=True, password="word", api_key="key")
    for sent, status in (
        ("Bearer key", 200),
        (_basic("key"), 200),
        ("Bearer word", 200),
        ("Bearer no", 401),
        ("", 401),
    ):
        assert _judge(secret, path, host="any.test", authorization=sent) == status


@pytest.mark.parametrize(
    "path", ["/", "/v1", "//v1/models", "/V1/models", "/v10/models", "/page-0/v1/models", "/./v1/models"]
)
def test_the_key_opens_nothing_else(config: Config, path: str) -> None:
    both = dataclasses.replace(config, listen=True, password="word", api_key="key")
    alone = dataclasses.replace(both, password="")
    assert _judge(both, path, host="any.test", authorization="Bearer key") == 401
    assert _judge(alone, path, host="any.test", authorization="Bearer key") == 403
    # Also on this machine, and also where the page would open without it.
    assert _judge(alone, path, authorization="Bearer key") == 403
    assert _judge(both, "/v1/models", authorization="Bearer key", _type="websocket") == 401
    assert _judge(both, "/v1/models", authorization="Bearer key", _method="PROPFIND") == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"_client": ("::1", 5000), "host": "[::1]:7860"}, 200),
        ({"_client": ("192.168.1.7", 5000)}, 403),
        ({"_client": ("192.168.1.7", 5000), "x_forwarded_for": "127.0.0.1"}, 403),
        ({"_client": None}, 403),
        ({"host": "paddock.test"}, 403),
        ({"host": "192.168.1.5:7860"}, 403),
        ({"x_forwarded_for": "127.0.0.1"}, 403),
        ({"forwarded": "for=127.0.0.1"}, 403),
        ({"via": "1.1 proxy"}, 403),
        ({"x_real_ip": "127.0.0.1"}, 403),
        ({"_http_version": "1.0"}, 403),
    ],
)
def test_with_a_key_alone_the_page_opens_on_this_machine_only(
    config: Config, headers: dict[str, Any], status: int
) -> None:
    alone = dataclasses.replace(config, listen=True, api_key="key")
    assert _judge(alone, **headers) == status
    assert _judge(alone, "/v1/models", **headers) == 401
    assert _judge(dataclasses.replace(alone, public_origin="https://paddock.test"), **headers) == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("192.168.1.5:7860", 200),
        ("[fe80::1]:7860", 200),
        ("localhost:7860", 200),
        ("Machine:7860", 200),
        ("machine.local:7860", 200),
        ("chat.example.org", 200),
        ("evil.test", 403),
        ("machine.evil.test", 403),
        ("192.168.1.5.evil.test", 403),
        ("999.168.1.5", 403),
    ],
)
def test_open_to_a_network_without_a_secret_no_site_points_its_name_here(
    config: Config, monkeypatch: pytest.MonkeyPatch, host: str, status: int
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "machine.lan.test")
    opened = dataclasses.replace(config, listen=True, public_origin="https://chat.example.org")
    assert _judge(opened, host=host, origin=f"http://{host}") == status
    assert _judge(dataclasses.replace(opened, api_key="key"), "/v1/x", host=host, authorization="Bearer key") == 200
