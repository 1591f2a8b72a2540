"""What a person wrote or opened stays theirs: when an answer comes late, the connection breaks, or the page reloads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modules.chat.roleplay.card_png import plain_picture
from tests.browser.driver import NEWEST, action, ask, new_chat, ready

pytestmark = pytest.mark.browser
FIELD = "#chat-input textarea"
REFUSAL = {"error": "The disk is full."}
# As a browser does with a tab that is hidden and shown again. Resolves when the chat has come again.
HIDE_AND_SHOW = """new Promise((done) => {
    const { handlers } = paddock.stream;
    const { messages } = handlers;
    handlers.messages = (change) => { handlers.messages = messages; messages(change); done(); };
    for (const hidden of [true, false]) {
        Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }
})"""


@pytest.fixture
def page(paddock: Any, visit: Any) -> Any:
    """Return a page with a new chat and a loaded model."""
    page = visit(paddock.address)
    ready(page)
    new_chat(page)
    return page


def chat(page: Any) -> str:
    """Return the id of the open chat."""
    return str(page.evaluate("paddock.chat"))


def two_chats(page: Any, first: str, second: str) -> tuple[str, str]:
    """Make two chats with a reply; the first one is open then. Return their ids."""
    ask(page, second)
    other = chat(page)
    new_chat(page)
    ask(page, first)
    return chat(page), other


def show(page: Any, chat_id: str) -> None:
    """Open a chat by its row in the list, and wait until its messages are there."""
    page.click(f'[data-chat="{chat_id}"] .chat-open')
    page.wait_for_function("id => paddock.chat === id && document.querySelector('.message')", arg=chat_id)


def has(page: Any, value: str) -> None:
    """Wait until the field for messages has this text."""
    page.wait_for_function(f"value => document.querySelector('{FIELD}').value === value", arg=value)


def call(page: Any, path: str, body: dict[str, Any]) -> Any:
    """Post to one of the page's routes."""
    return page.evaluate(
        "([path, body]) => { const headers = { 'Content-Type': 'application/json' };"
        " return fetch(`paddock${path}`, { method: 'POST', headers, body }).then((answer) => answer.json()); }",
        [path, json.dumps(body)],
    )


def test_a_page_that_was_hidden_keeps_the_open_editor_and_folds(page: Any) -> None:
    ask(page, "Half an edit")
    action(page, ".message.user", "Edit")
    page.wait_for_selector(".edit-area:focus")
    page.keyboard.press("End")
    page.keyboard.type(" and")
    page.evaluate(HIDE_AND_SHOW)
    # With the focus elsewhere, "n" would open a new chat.
    page.keyboard.type(" not")
    assert page.input_value(".message.user .edit-area") == "Half an edit and not"
    assert page.locator(".message").count() == 2
    page.keyboard.press("Escape")
    ask(page, "It goes on")
    assert page.locator(".message").count() == 4


def test_the_page_does_not_reload_under_an_open_window(page: Any) -> None:
    page.click("#list-menu")
    page.get_by_role("menuitem", name="Prompts…").click()
    text = page.locator("dialog:modal").get_by_label("Text", exact=True)
    text.fill("Half a prompt")
    page.clock.install()
    page.evaluate("dispatchEvent(new Event('paddock-outdated'))")
    page.clock.run_for(120_000)
    assert text.input_value() == "Half a prompt"
    with page.expect_navigation():
        page.keyboard.press("Escape")
        page.clock.run_for(5_000)
