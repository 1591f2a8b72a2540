"""The notebook in the browser keeps a text that could not be saved."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.driver import NEWEST, ask, new_chat, ready, started

pytestmark = pytest.mark.browser
TEXT = "#notebook-text"
WRITE = "**/paddock/notebook/write"
REFUSED = {"error": "notebook.txt could not be saved (No space left on device).", "detail": "Errno 28"}


def test_a_text_that_could_not_be_saved_survives_a_reload_and_is_saved_later(own_paddock: Any, visit: Any) -> None:
    served = own_paddock("--no-model")
    page = visit(served.address)
    page.click("[data-view=notebook]")
    page.route(WRITE, lambda route: route.fulfill(status=400, json=REFUSED))
    page.fill(TEXT, "words on a full disk")
    page.wait_for_selector(".toast.error >> text=could not be saved")
    # The page retries, and shows the message once.
    with page.expect_response(WRITE):
        pass
    assert page.locator(".toast.error").count() == 1
    page.reload()
    started(page)
    page.click("[data-view=notebook]")
    page.wait_for_function("document.querySelector('#notebook-text').value === 'words on a full disk'")
    page.wait_for_selector(".toast.error >> text=could not be saved")
    page.unroute(WRITE)
    page.wait_for_selector(".toast.error", state="detached")
    other = visit(served.address)
    other.click("[data-view=notebook]")
    other.wait_for_function("document.querySelector('#notebook-text').value === 'words on a full disk'")


def test_a_reload_restores_the_notebook_and_the_chat_behind_it(paddock: Any, visit: Any) -> None:
    page = visit(paddock.address)
    ready(page)
    new_chat(page)
    ask(page, "The chat beside it")
    chat = page.url
    page.click("[data-view=notebook]")
    page.reload()
    started(page)
    page.wait_for_selector("#notebook-text:visible")
    page.click("[data-view=chat]")
    page.wait_for_selector(f"{NEWEST} >> text=The chat beside it")
    assert page.url == chat
    page.go_back()
    page.wait_for_function("chat => location.href !== chat", arg=chat)
    page.wait_for_selector("#chat.empty")
