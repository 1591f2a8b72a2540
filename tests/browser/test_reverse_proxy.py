"""The page behind a real nginx in a real browser: forms, streams, uploads and files."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from modules.plugins.folders import discover
from tests.browser.conftest import Served, prepare
from tests.browser.driver import ask, new_chat, open_tab, started
from tests.plugins.conftest import write_extension
from tests.support.nginx import nginx, proxied

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(nginx() is None, reason="no nginx on this machine (Debian: apt-get install nginx-light)"),
]
PATIENCE = 60.0
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CODE = """
import gradio as gr
def ui():
    picture = gr.Image(label="Picture", type="filepath", elem_id="own-in")
    shown = gr.Image(label="Shown", elem_id="own-out")
    picture.upload(lambda path: path, picture, shown)
def output_modifier(string):
    return string + ' <img src="file/extensions/own/dot.png" alt="dot">' if "picture" in string else string
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with models and an extension that accepts and shows pictures."""
    folder = prepare(tmp_path_factory.mktemp("proxied"))
    root = folder / "user_data" / "extensions"
    write_extension(root, "own", CODE)
    kept = {"enabled": ["own"], "consent": {name: one.sha256 for name, one in discover([root]).items()}}
    (folder / "user_data" / "extensions.yaml").write_text(yaml.safe_dump(kept))
    return folder


def _proxied(folder: Path, name: str, *flags: str) -> Iterator[dict[str, str]]:
    served = Served(folder, "--model", "small", *flags)
    try:
        with proxied(folder / name, served.wait()) as addresses:
            yield addresses
    finally:
        served.close()
    assert not any("Traceback" in line for line in served.lines), served.lines


@pytest.fixture(scope="module")
def behind(browser: Any, folder: Path) -> Iterator[dict[str, str]]:
    """Return the addresses of a Paddock without settings for its proxy, by configuration of nginx."""
    yield from _proxied(folder, "nginx")


def _use(page: Any) -> None:
    """Use a chat, a setting and the notebook."""
    new_chat(page)
    assert ask(page, "good day") == "good day"
    open_tab(page, "Parameters")
    open_tab(page, "Extensions")
    page.wait_for_selector("#extension-row-own")
    page.click("#close-drawer")
    assert page.evaluate("getComputedStyle(document.body).getPropertyValue('--ground')")
    page.reload()
    started(page)
    page.wait_for_selector(".message.assistant:has-text('good day')")
    page.click("[data-view=notebook]")
    page.fill("#notebook-text", "one two")
    page.click("#notebook-generate")
    page.wait_for_function("document.querySelector('#notebook-text').value.length > 7")


@pytest.mark.parametrize("way", ["plain", "path", "forwarded"])
def test_the_page_works_without_a_flag(behind: dict[str, str], visit: Any, way: str) -> None:
    page = visit(behind[way])
    _use(page)
    assert page.evaluate("performance.getEntriesByType('resource').filter((one) => one.responseStatus >= 400)") == []


@pytest.mark.parametrize("way", ["plain", "path", "forwarded"])
def test_streams_are_not_buffered_by_the_proxy(behind: dict[str, str], way: str) -> None:
    body = {"prompt": "a !long", "max_tokens": 100_000, "stream": True, "extensions": False}
    with httpx.stream("POST", f"{behind[way]}v1/completions", json=body, timeout=PATIENCE) as answer:
        assert answer.status_code == 200
        # A proxy that buffers passes on 4,096 bytes or more at once.
        assert len(next(answer.iter_raw())) < 2000
    with httpx.stream("GET", f"{behind[way]}paddock/events", timeout=PATIENCE) as answer:
        assert len(next(answer.iter_raw())) < 2000


@pytest.mark.parametrize("way", ["plain", "forwarded"])
def test_files_are_uploaded_and_downloaded(behind: dict[str, str], visit: Any, way: str, tmp_path: Path) -> None:
    _files(visit(behind[way]), tmp_path)


def _files(page: Any, tmp_path: Path) -> None:
    picture = tmp_path / "dot.png"
    picture.write_bytes(PICTURE)
    with page.expect_response(lambda answer: "gradio_api/upload" in answer.url) as answer:
        page.set_input_files("#own-in input[type=file]", str(picture))
    assert answer.value.status == 200
    page.wait_for_function("document.querySelector('#own-out img')?.naturalWidth === 1")


@pytest.fixture(scope="module")
def named(browser: Any, folder: Path, behind: dict[str, str]) -> Iterator[dict[str, str]]:
    """Start a Paddock with its proxy's path and a password, open to other machines."""
    yield from _proxied(folder, "nginx-named", "--listen", "--password", "word", "--root-path", "/deep/chat")


@pytest.fixture(scope="module")
def under_paddock(browser: Any, folder: Path, named: dict[str, str]) -> Iterator[dict[str, str]]:
    """Start a Paddock below the path /paddock, which is also the prefix of its routes."""
    yield from _proxied(folder, "nginx-paddock", "--root-path", "paddock", "--listen", "--password", "word")


def test_a_path_that_the_proxy_does_not_strip_is_stripped(
    named: dict[str, str], visit: Any, browser: Any, tmp_path: Path
) -> None:
    assert httpx.get(named["whole path"]).status_code == 401
    assert httpx.get(named["whole path"].rstrip("/"), auth=("paddock", "word")).status_code in (301, 308)
    context = browser.new_context(http_credentials={"username": "paddock", "password": "word"})
    context.set_default_timeout(60_000)
    page = visit(named["whole path"], context=context)
    _use(page)
    page.click("[data-view=chat]")
    _files(page, tmp_path)
    assert page.evaluate("performance.getEntriesByType('resource').filter((one) => one.responseStatus >= 400)") == []
    context.close()


def test_a_path_named_like_paddocks_routes_works_with_a_password(
    under_paddock: dict[str, str], visit: Any, browser: Any, tmp_path: Path
) -> None:
    context = browser.new_context(http_credentials={"username": "paddock", "password": "word"})
    context.set_default_timeout(60_000)
    page = visit(under_paddock["path"], context=context)
    _use(page)
    page.click("[data-view=chat]")
    _files(page, tmp_path)
    context.close()
    body = {"prompt": "a !long", "max_tokens": 100_000, "stream": True, "extensions": False}
    address, auth = f"{under_paddock['path']}v1/completions", ("paddock", "word")
    assert httpx.post(address, json=body).status_code == 401
    with httpx.stream("POST", address, json=body, timeout=PATIENCE, auth=auth) as answer:
        assert len(next(answer.iter_raw())) < 2000
