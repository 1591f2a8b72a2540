"""Pages of other sites at the API: none without a flag, then those that it names, and never with a saved secret."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from modules.app import App
from modules.settings.config import Config
from tests.support.server import serving

# Whole servers.
pytestmark = pytest.mark.slow

SITE = "https://site.test"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
# What a browser adds to a request of another site's script.
CROSS = {"Origin": SITE, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


@contextmanager
def _serve(config: Config, **changes: Any) -> Iterator[httpx.Client]:
    app = App(dataclasses.replace(config, **changes))
    try:
        with serving(app) as address, httpx.Client(base_url=address, timeout=60) as client:
            yield client
    finally:
        app.close()


@pytest.fixture
def listed(config: Config) -> Iterator[httpx.Client]:
    """Serve with keys and one allowed site."""
    secrets = {"password": "word", "api_key": "key", "admin_key": "admin"}
    with _serve(config, **secrets, cors_origins=(SITE,)) as client:
        yield client


def test_no_other_site_may_use_the_api_without_a_flag(config: Config) -> None:
    with _serve(config) as client:
        for method, more in (("OPTIONS", PREFLIGHT), ("GET", {}), ("POST", {})):
            answer = client.request(method, "/v1/models", headers={**CROSS, **more})
            assert answer.status_code == 403
            assert not any(name.startswith("access-control") for name in answer.headers)


def test_an_allowed_site_asks_first_and_then_sends_its_key(listed: httpx.Client) -> None:
    asked = listed.options("/v1/chat/completions", headers={**CROSS, **PREFLIGHT})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == SITE
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "authorization" in asked.headers["access-control-allow-headers"]
    answer = listed.get("/v1/models", headers={**CROSS, "Authorization": "Bearer key"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, SITE)
    # Its script can read why it was refused.
    wrong = listed.get("/v1/models", headers=CROSS)
    assert (wrong.status_code, wrong.headers["access-control-allow-origin"]) == (401, SITE)
    for one in (asked, answer, wrong):
        assert "access-control-allow-credentials" not in one.headers
        assert "Origin" in one.headers["vary"]


def test_what_a_browser_adds_on_its_own_does_not_count_for_another_site(listed: httpx.Client) -> None:
    saved = "Basic " + base64.b64encode(b"paddock:word").decode()
    for path in ("/v1/models", "/v1/internal/model/unload"):
        assert listed.post(path, headers={**CROSS, "Authorization": saved}).status_code == 401
    # On the page's own site it does.
    assert listed.get("/v1/models", headers={"Authorization": saved}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.test", "http://site.test", "https://site.test:8443", "null"])
def test_a_site_that_is_not_listed_is_refused(listed: httpx.Client, origin: str) -> None:
    sent = {**CROSS, "Origin": origin}
    asked = listed.options("/v1/models", headers={**sent, **PREFLIGHT})
    assert asked.status_code == 400 and "access-control-allow-origin" not in asked.headers
    answer = listed.get("/v1/models", headers={**sent, "Authorization": "Bearer key"})
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/paddock/start", "/paddock/workshop/state", "/config", "/extensions", "/"])
def test_the_page_stays_closed_to_an_allowed_site(listed: httpx.Client, path: str) -> None:
    for secret in ("Bearer word", "Bearer admin", "Bearer key"):
        answer = listed.get(path, headers={**CROSS, "Authorization": secret})
        assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers
    assert listed.options(path, headers={**CROSS, **PREFLIGHT}).status_code == 403


def test_an_allowed_site_at_a_name_of_its_own_is_refused(listed: httpx.Client) -> None:
    sent = {**CROSS, "Host": "evil.test", "Authorization": "Bearer key"}
    assert listed.get("/v1/models", headers=sent).status_code == 403


def test_all_sites_may_be_allowed_and_each_needs_the_key(config: Config) -> None:
    with _serve(config, api_key="key", cors_origins=("*",)) as client:
        assert client.get("/v1/models", headers=CROSS).status_code == 401
        answer = client.get("/v1/models", headers={**CROSS, "Authorization": "Bearer key"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
        assert "access-control-allow-credentials" not in answer.headers
