"""What comes through a real nginx, without a browser: addresses, refusals, secrets."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from modules.app import App
from modules.settings.config import Config
from tests.support.nginx import nginx, proxied
from tests.support.server import serving

pytestmark = pytest.mark.skipif(nginx() is None, reason="no nginx on this machine (Debian: apt-get install nginx)")


def _behind(config: Config, folder: Path) -> Iterator[dict[str, str]]:
    app = App(config)
    try:
        with serving(app) as to, proxied(folder, to) as addresses:
            yield addresses
    finally:
        app.close()


@pytest.fixture
def behind(config: Config, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Serve without settings for a proxy."""
    yield from _behind(config, tmp_path / "nginx")


@pytest.fixture
def secret(config: Config, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Serve below a path, with both secrets, open to other machines."""
    changed = dataclasses.replace(config, listen=True, password="word", api_key="key", root_path="/deep/chat")
    yield from _behind(changed, tmp_path / "nginx")


@pytest.fixture
def key_alone(config: Config, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Serve with only an API key."""
    yield from _behind(dataclasses.replace(config, listen=True, api_key="key"), tmp_path / "nginx")


def _page(address: str, **options: Any) -> None:
    """Request what a browser requests when it opens the page."""
    browser = {"Origin": re.match(r"http://[^/]*", address)[0], "Sec-Fetch-Site": "same-origin"}  # type: ignore[index]
    with httpx.Client(timeout=60, **options) as client:
        html = client.get(address).text
        parts = re.findall(r'(?:src|href)="(\./assets/[^"]+|paddock/static/[^"]+)"', html)
        assert len(parts) >= 3
        parts += ["paddock/static/main.js", "theme.css", "paddock/start", "config"]
        build = re.search(r'"root":"[^"]*/(page-[^"/]+)"', html)
        assert build is not None
        for part in (*parts, f"{build[1]}/theme.css", f"{build[1]}/gradio_api/startup-events"):
            assert client.get(urljoin(address, part), headers=browser).status_code == 200, part
        made = client.post(urljoin(address, "paddock/chats"), headers=browser)
        assert made.status_code == 200 and made.json()["id"]
        evil = {"Origin": "http://evil.test", "Sec-Fetch-Site": "cross-site"}
        assert client.post(urljoin(address, "paddock/chats"), headers=evil).status_code == 403
        with client.stream("GET", urljoin(address, "paddock/events"), headers=browser) as events:
            assert events.status_code == 200 and len(next(events.iter_raw())) < 2000


@pytest.mark.parametrize("way", ["plain", "path", "forwarded"])
def test_the_page_works_without_a_flag(behind: dict[str, str], way: str) -> None:
    _page(behind[way])


def test_a_reply_comes_through_as_it_is_written(echo: App, tmp_path: Path) -> None:
    body = {"prompt": "a !long", "max_tokens": 900_000, "stream": True}
    with serving(echo) as to, proxied(tmp_path / "nginx", to) as addresses:
        for way in ("plain", "path", "forwarded"):
            with httpx.stream("POST", f"{addresses[way]}v1/completions", json=body, timeout=60) as answer:
                assert answer.status_code == 200
                # A proxy that gathers hands out 4,096 bytes or more at once.
                assert len(next(answer.iter_raw())) < 4000


def test_a_path_that_is_left_on_is_taken_off(secret: dict[str, str]) -> None:
    _page(secret["whole path"], auth=("paddock", "word"))
    _page(secret["plain"], auth=("paddock", "word"))


def test_secrets_hold_through_a_proxy(secret: dict[str, str]) -> None:
    for address in secret.values():
        for path, sent, status in (
            ("paddock/start", "", 401),
            ("paddock/start", "Bearer key", 401),
            ("paddock/start", "Bearer word", 200),
            ("v1/models", "", 401),
            ("v1/models", "Bearer key", 200),
            ("v1/%2e%2e/paddock/start", "Bearer key", 401),
            ("v1/..%2fpaddock%2fstart", "Bearer key", 401),
        ):
            answer = httpx.get(f"{address}{path}", headers={"Authorization": sent} if sent else {})
            # Where nginx hands the dots on as they are, the API has no such route.
            taken = (status, 404) if "%2" in path else (status,)
            assert answer.status_code in taken, (address, path, sent)


def test_with_a_key_alone_a_proxy_gets_the_api_and_no_page(key_alone: dict[str, str]) -> None:
    for way in ("plain", "path", "forwarded"):
        assert httpx.get(key_alone[way]).status_code == 403
        assert httpx.get(f"{key_alone[way]}v1/models", headers={"Authorization": "Bearer key"}).status_code == 200
