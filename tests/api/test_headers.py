"""What each answer says to browsers and proxies, and what of Gradio's application is not served."""

from __future__ import annotations

import re

import httpx
import pytest

from modules.api.headers import content_policy
from modules.app import App
from modules.plugins.extension_overview import extension_statuses
from modules.plugins.inline_handlers import inline_handler
from modules.ui.gradio_internals.page_html import NONCE, with_nonce
from tests.plugins.conftest import write_extension

PATHS = ["/", "/config", "/theme.css", "/paddock/start", "/paddock/static/main.js", "/v1/models", "/v1/none", "/none"]


@pytest.mark.parametrize("path", [*PATHS, "/extensions", "/file/extensions/x/y.html", "/gradio_api/startup-events"])
def test_every_answer_has_the_headers(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "frame-ancestors" in answer.headers["content-security-policy"]
    kept = {"/theme.css": "no-cache", "/paddock/static/main.js": "no-cache"}
    assert answer.headers["cache-control"] == kept.get(path, "no-store")


def test_a_refusal_has_them_too(client: httpx.Client) -> None:
    answer = client.get("/", headers={"Host": "evil.test"})
    assert answer.status_code == 403 and answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"


def test_streams_are_not_gathered_by_a_proxy(client: httpx.Client) -> None:
    body = {"prompt": "x", "stream": True}
    for method, path in (("POST", "/v1/completions"), ("GET", "/paddock/events"), ("GET", "/paddock/notebook/events")):
        with client.stream(method, path, json=body if method == "POST" else None) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["x-accel-buffering"] == "no"
            assert answer.headers["cache-control"] == "no-store"


def test_files_with_a_hash_in_their_name_are_cached(client: httpx.Client) -> None:
    asset = re.search(r"\./(assets/index-[\w-]+\.js)", client.get("/").text)
    assert asset is not None
    assert "immutable" in client.get(f"/{asset.group(1)}").headers["cache-control"]
    assert client.get("/assets/index-abcd1234.js").headers["cache-control"] == "no-store"


def test_each_script_of_the_page_has_the_nonce_of_this_answer(client: httpx.Client) -> None:
    nonces = set()
    for _ in range(2):
        page = client.get("/")
        scripts = re.findall(r"<script([^>]*)>", page.text)
        (nonce,) = {match for script in scripts for match in re.findall(r'nonce="([^"]*)"', script)}
        assert len(scripts) > 4 and all("nonce=" in script for script in scripts)
        policy = page.headers["content-security-policy"]
        assert f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval';" in policy
        assert "script-src-attr 'none'" in policy and "http" not in policy and "*" not in policy
        nonces.add(nonce)
    assert len(nonces) == 2
    assert client.head("/").status_code == 200


def test_the_policy_of_other_answers_allows_no_inline_script() -> None:
    scripts = re.search(r"script-src ([^;]*)", content_policy())
    assert scripts is not None and scripts.group(1) == "'self'"


@pytest.mark.parametrize(
    "path",
    [
        "/openapi.json",
        "/gradio_api/openapi.json",
        "/gradio_api/runs",
        "/gradio_api/runs/",
        "/gradio_api//runs",
        "/gradio_api/run-history/buckets",
        "/gradio_api/run-history/records",
        "/gradio_api/deep_link",
        "/gradio_api/token",
        "/gradio_api/user",
        "/gradio_api/proxy=https://x.hf.space/",
        "/gradio_api/vibe-code",
        "/gradio_api/dev/reload",
        "/gradio_api/%72uns",
        "/page-0/gradio_api/runs",
        "/page-0/openapi.json",
        "/monitoring",
        "/monitoring/summary",
        "/docs",
        "/redoc",
        "/manifest.json",
        "/pwa_icon",
        "/runs",
    ],
)
def test_routes_that_the_page_does_not_use_are_not_served(client: httpx.Client, path: str) -> None:
    for method in ("GET", "POST", "HEAD"):
        assert client.request(method, path).status_code == 404


def test_the_nonce_goes_into_scripts_and_not_into_data() -> None:
    html = f'<script>window.gradio_config = {{"a":"\\u003cscript\\u003e{NONCE}"}};</script><script src="x"></script>'
    found = with_nonce(html, "abc")
    assert found.count('<script nonce="abc"') == 3
    assert '"\\u003cscript\\u003eabc"' in found


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("def ui():\n    gr.HTML('<b onclick=\"go()\">x</b>')", "extension.py, line 2"),
        ("A = '''<img\n src=x\n onerror='go()'>'''", "extension.py, line 3"),
        ('A = "<a onmouseover=\\"x()\\">"', "extension.py, line 1"),
        ("A = f\"<a onclick='{x}'>\"", "extension.py, line 1"),
        ('def custom_js():\n    return \'e.setAttribute("onclick", "go()")\'', "extension.py, line 2"),
        ("def custom_js():\n    return 'e.onclick = \"go()\"'", ""),
        ("button.onclick = 'x'\nonion = 'y'\nseconds='1'", ""),
    ],
)
def test_script_in_attributes_is_found(tmp_path: object, code: str, place: str) -> None:
    from pathlib import Path

    folder = write_extension(Path(str(tmp_path)), "own", code)
    assert inline_handler(folder, code) == place


def test_while_an_extension_with_inline_handlers_is_on_the_policy_allows_them_and_its_card_says_so(
    echo: App, own_client: httpx.Client
) -> None:
    manager = echo.extensions
    write_extension(
        echo.paths.extensions[1], "own", "A = '<b onclick=\"go()\">'\ndef output_modifier(string):\n    return string"
    )
    manager.enable("own", manager.find("own").sha256)
    assert "script-src-attr 'unsafe-inline'" in own_client.get("/").headers["content-security-policy"]
    (status,) = [status for status in extension_statuses(manager) if status.name == "own"]
    assert any("onclick (extension.py, line 1)" in note for note in status.notes)
    manager.disable("own")
    assert "script-src-attr 'none'" in own_client.get("/").headers["content-security-policy"]


def test_no_shipped_extension_needs_inline_handlers(app: App) -> None:
    shipped = [status for status in extension_statuses(app.extensions) if status.shipped]
    assert len(shipped) == 12
    assert not [status.name for status in shipped if any("onclick" in note for note in status.notes)]
