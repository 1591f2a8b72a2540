"""Every route there is, asked with the password, with the API key, with both and with none, over real HTTP."""

from __future__ import annotations

import dataclasses
import http.client
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from modules.api.account_pages import AccountPages
from modules.api.authentication import ADMIN_PREFIXES, METHODS, METRICS, OWNER_PATHS
from modules.app import App
from modules.settings.config import Config
from modules.ui.gradio_internals.served_routes import GradioRoutes
from modules.ui.mount import PageHost
from tests.plugins.conftest import write_extension
from tests.support.server import serving

# Whole servers.
pytestmark = pytest.mark.slow

PASSWORD, KEY, ADMIN = "Bearer word", "Bearer key", "Bearer admin"
# Addresses that no list of routes shows, and such as are meant to pass for the API's.
ODD = [
    "/nothing",
    "/page-0/",
    "/page-0/config",
    "/page-0/gradio_api/info",
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/upload?upload_id=x",
    "/extensions/own/hello",
    "/extensions/own/tools/add",
    "/file/extensions/own/x.txt",
    "/v1",
    "//v1/models",
    "/%2fv1/models",
    "/./v1/models",
    "/x/../v1/models",
    "/paddock/..%2fv1/models",
    "/V1/models",
    "/v1;/models",
    "/v1%00/models",
    "/\\v1/models",
    "/page-0/v1/models",
    "*",
    "http://127.0.0.1/v1/models",
    "/paddock/start?path=/v1/",
    "/paddock/start%3f/v1/",
]
# What begins as the API does goes to the API, whatever follows.
ODD_API = [
    "/v1/../paddock/start",
    "/v1/%2e%2e/paddock/start",
    "/v1/..%2fpaddock%2fstart",
    "/v1//paddock/start",
    "/%761/x",
]


def _own(config: Config) -> App:
    write_extension(
        config.paths.user_data / "extensions",
        "own",
        """
        import gradio as gr
        def api_routes():
            return {"GET hello": lambda request: "hello"}
        def tools():
            return [{"name": "add", "description": "Adds.", "call": lambda a, b: a + b}]
        """,
    )
    app = App(config)
    app.extensions.enable("own", app.extensions.find("own").sha256)
    return app


@pytest.fixture
def both(config: Config) -> Iterator[tuple[str, App]]:
    """Serve with a password and a key. Return the address and the App."""
    yield from _served(dataclasses.replace(config, listen=True, password="word", api_key="key"))


@pytest.fixture
def alone(config: Config) -> Iterator[tuple[str, App]]:
    """Serve with only a key. Return the address and the App."""
    yield from _served(dataclasses.replace(config, listen=True, api_key="key"))


@pytest.fixture
def three(config: Config) -> Iterator[tuple[str, App]]:
    """Serve with a password, a key and an admin key. Return the address and the App."""
    yield from _served(dataclasses.replace(config, listen=True, password="word", api_key="key", admin_key="admin"))


@pytest.fixture
def keys(config: Config) -> Iterator[tuple[str, App]]:
    """Serve with a key and an admin key, without a password. Return the address and the App."""
    yield from _served(dataclasses.replace(config, listen=True, api_key="key", admin_key="admin"))


def _served(config: Config) -> Iterator[tuple[str, App]]:
    app = _own(config)
    try:
        with serving(app) as address:
            yield address, app
    finally:
        app.close()


def _status(address: str, method: str, path: str, *authorizations: str, host: str = "") -> int:
    """Return the status of the answer without its body: some are streams without an end."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    try:
        # http.client refuses some of these paths, which no attacker's client does.
        connection._validate_path = lambda url: None  # type: ignore[attr-defined]
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host or place.netloc)
        for one in authorizations:
            connection.putheader("Authorization", one)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def _addresses(server: Any) -> list[str]:
    """Return an address for each route of the server, of the page and of Gradio."""
    found = []
    for route in server.routes:
        mounted = None if hasattr(route, "endpoint") else getattr(route, "app", None)
        inner = getattr(route, "original_router", mounted)
        if isinstance(inner, AccountPages):
            inner = inner._owners
        if isinstance(inner, GradioRoutes):
            inner = inner._page
        if isinstance(inner, PageHost):
            inner = inner._page.routes[-1].app  # type: ignore[attr-defined]
        if inner is not None and hasattr(inner, "routes"):
            found += _addresses(inner)
        elif path := getattr(route, "path", ""):
            found.append(re.sub(r"\{[^}]*\}", "x", path))
    return found


def _all(app: App) -> list[str]:
    from modules.api.server import build_server

    return sorted({*_addresses(build_server(app))})


def test_the_list_of_routes_holds_those_of_every_part(both: tuple[str, App]) -> None:
    routes = _all(both[1])
    for one in ("/v1/models", "/paddock/model/load", "/extensions/x/x", "/file/x", "/gradio_api/upload", "/config"):
        assert one in routes
    assert len(routes) > 80


def test_no_route_but_the_apis_opens_to_the_key(both: tuple[str, App]) -> None:
    address, app = both
    wrong = []
    for path in [*_all(app), *ODD]:
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            none, key, two = (_status(address, method, path, *sent) for sent in ((), (KEY,), (KEY, PASSWORD)))
            api = path.startswith("/v1/") or (method, path) == ("GET", METRICS)
            if (none, two) != (401, 400) or (key == 401) == api or key == 200 and not api:
                wrong.append((method, path, none, key, two))
    assert not wrong


def test_paths_below_v1_reach_only_the_api(both: tuple[str, App]) -> None:
    for method in (*METHODS, "TRACE", "PROPFIND"):
        for path in ODD_API:
            assert _status(both[0], method, path) == 401
            assert _status(both[0], method, path, KEY) in ((404, 405) if method in METHODS else (401,))


def test_the_password_opens_the_page_and_the_api(both: tuple[str, App]) -> None:
    for path in (
        "/",
        "/config",
        "/paddock/start",
        "/paddock/events",
        "/v1/models",
        "/extensions",
        "/extensions/own/hello",
    ):
        assert _status(both[0], "GET", path, PASSWORD) == 200
    assert _status(both[0], "POST", "/paddock/chats", PASSWORD) == 200


def test_with_a_key_alone_other_machines_get_the_api_and_nothing_else(
    alone: tuple[str, App], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.api.failed_logins.MOST_SECONDS", 0.0)
    address, app = alone
    for path in [*_all(app), *ODD]:
        api = path.startswith("/v1/") or path == METRICS
        for sent in ((), (KEY,), (PASSWORD,)):
            # A name that is no loopback name is how other machines call this one.
            status = _status(address, "GET", path, *sent, host="paddock.test")
            opens = api and path not in OWNER_PATHS and sent == (KEY,)
            assert (status not in (401, 403)) if opens else status in (401, 403), path
    assert _status(address, "GET", "/paddock/start") == 200
    assert _status(address, "GET", "/v1/models") == 401


def test_loading_needs_the_password_or_with_a_key_alone_this_machine(
    both: tuple[str, App], alone: tuple[str, App]
) -> None:
    for path in OWNER_PATHS:
        assert _status(both[0], "POST", path, KEY) == 403
        assert _status(both[0], "POST", path, PASSWORD) not in (401, 403)
        assert _status(alone[0], "POST", path, KEY, host="paddock.test") == 403
        assert _status(alone[0], "POST", path, KEY) not in (401, 403)


def test_the_admin_key_opens_loading_and_jobs_and_nothing_else_of_the_page(
    three: tuple[str, App], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.api.failed_logins.MOST_SECONDS", 0.0)
    address, app = three
    for path in [*_all(app), *ODD]:
        for method in ("GET", "POST"):
            opens = path.startswith(("/v1/", *ADMIN_PREFIXES)) or (method, path) == ("GET", METRICS)
            assert (_status(address, method, path, ADMIN) not in (401, 403)) == opens, (method, path)


def test_with_an_admin_key_the_other_key_never_loads(three: tuple[str, App], keys: tuple[str, App]) -> None:
    for address, _ in (three, keys):
        for path in OWNER_PATHS:
            assert _status(address, "POST", path, KEY) == 403
            assert _status(address, "POST", path, KEY, host="paddock.test") == 403
            assert _status(address, "POST", path, ADMIN, host="paddock.test") not in (401, 403)
        assert _status(address, "GET", "/v1/models", KEY) == 200
        for prefix in ADMIN_PREFIXES:
            assert _status(address, "POST", f"{prefix}x", KEY) in (401, 403)
            assert _status(address, "POST", f"{prefix}x", ADMIN, host="paddock.test") not in (401, 403)


def test_an_admin_key_alone_closes_the_api_to_all_others(config: Config) -> None:
    for address, _ in _served(dataclasses.replace(config, listen=True, admin_key="admin")):
        assert _status(address, "GET", "/v1/models") == 401
        assert _status(address, "GET", "/v1/models", ADMIN) == 200
        # The browser asks its user for it.
        assert _status(address, "GET", "/paddock/start", host="paddock.test") == 401


def test_in_a_browser_the_admin_key_opens_a_page_of_its_own_that_manages_models(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.api.failed_logins.MOST_SECONDS", 0.0)
    for password in ("", "word"):
        changed = dataclasses.replace(config, listen=True, password=password, api_key="key", admin_key="admin")
        for address, app in _served(changed):
            private = app.chats.create().id
            with httpx.Client(base_url=address, auth=("paddock", "admin"), timeout=60) as client:
                assert client.get("/paddock/chats").json() == []
                assert client.get(f"/paddock/chats/{private}/events").status_code == 400
                assert client.get("/config").status_code == 200
                assert client.get("/paddock/models/loaded").status_code == 200
                assert client.get("/paddock/workshop/jobs/none").status_code == 400  # there is no such job
                # The API has the owner's presets, as for scripts.
                assert client.get("/v1/models").status_code == 200
            elsewhere = {"Host": "paddock.test"}
            for auth in (("paddock", "wrong"), ("paddock", "key")):
                refused = httpx.get(f"{address}/paddock/chats", auth=auth, headers=elsewhere)
                assert refused.status_code in (401, 403)
            asked = httpx.get(f"{address}/paddock/chats", headers=elsewhere)
            assert asked.status_code == 401 and asked.headers["www-authenticate"].startswith("Basic")
