"""Host, Origin and secrets: who may talk to the server."""

from __future__ import annotations

import base64
import dataclasses

import pytest

from modules.api.security import Gate
from modules.config import Config


def _judge(config: Config, **headers: str) -> int:
    plain = {name.replace("_", "-"): value for name, value in headers.items()}
    return Gate(None, config).judge({"host": "127.0.0.1:7860", **plain})[0]


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:1", "localhost", "[::1]:7860"])
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
        {"origin": "null"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"},
    ],
)
def test_another_site_is_refused(config: Config, headers: dict[str, str]) -> None:
    assert _judge(config, **headers) == 403


def test_a_link_from_another_site_still_opens_the_page(config: Config) -> None:
    assert _judge(config, sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("", 401),
        ("Bearer wrong", 401),
        ("Bearer key", 200),
        ("Basic " + base64.b64encode(b"paddock:word").decode(), 200),
        ("Basic " + base64.b64encode(b"anyone:wrong").decode(), 401),
        ("Basic !!!", 401),
        ("Digest word", 401),
    ],
)
def test_a_secret_is_asked_for_where_one_is_set(config: Config, authorization: str, status: int) -> None:
    secret = dataclasses.replace(config, listen=True, password="word", api_key="key")
    assert _judge(secret, host="any.test", authorization=authorization) == status
