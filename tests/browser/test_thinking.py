"""Reasoning on the page: folded while it streams, measured, kept by every button and by a reload."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.browser.driver import NEWEST, action, new_chat, ready, send, settled, started

pytestmark = pytest.mark.browser
FOLD = f"{NEWEST} details.thinking"
ANSWER = f"{NEWEST} .message-body > .part"
THOUGHT = "<think> It is *day* now. </think> Good **day** to you."
ENDLESS = "<think> one two three !long"


@pytest.fixture(params=[1280, 390])
def page(paddock: Any, visit: Any, request: pytest.FixtureRequest) -> Any:
    """Return a page with a new chat and a loaded model, at the width of a desktop and of a phone."""
    page = visit(paddock.address, width=request.param, height=844)
    ready(page)
    if request.param == 1280:
        new_chat(page)
    return page


def _answer(page: Any) -> str:
    return str(page.locator(ANSWER).inner_text())


def test_reasoning_streams_into_a_fold_that_stays_as_the_person_wants_it(page: Any) -> None:
    send(page, ENDLESS)
    running = page.locator(".message.living details.thinking.running")
    running.locator("summary >> text=Thinking").wait_for()
    assert not running.evaluate("fold => fold.open")
    running.locator("summary").click()
    words = "count => document.querySelector('.living .thinking .part')?.innerText.split(' two ').length > count"
    page.wait_for_function(words, arg=4)
    page.reload()
    started(page)
    page.wait_for_function(words, arg=8)
    assert running.evaluate("fold => fold.open")
    assert re.fullmatch(r"Thinking · \d+(\.\d)? s · [\d,]+ tokens", running.locator("summary").inner_text())
    page.click("#stop")
    settled(page)
    fold = page.locator(FOLD)
    assert re.fullmatch(r"Thought for \d+(\.\d)? s · [\d,]+ tokens", fold.locator("summary").inner_text())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("localStorage.removeItem('paddock.thinking')")


def test_the_answer_is_apart_from_the_reasoning_through_every_button(page: Any) -> None:
    send(page, THOUGHT)
    settled(page)
    assert _answer(page) == "Good day to you."
    assert page.locator(f"{FOLD} em").text_content() == "day"
    assert not page.is_visible(f"{FOLD} .part")
    page.locator(f"{FOLD} summary").click()
    assert page.locator(f"{FOLD} .part").inner_text() == "It is day now."
    action(page, NEWEST, "Edit")
    assert page.input_value(".edit-area") == "Good **day** to you."
    page.fill(".edit-area", "Good night.")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_selector(f"{NEWEST} [aria-label='Version 2 of 2']")
    assert _answer(page) == "Good night."
    assert page.locator(f"{FOLD} .part").text_content().strip() == "It is day now."
    action(page, NEWEST, "Regenerate")
    page.wait_for_selector(f"{NEWEST} [aria-label='Version 3 of 3']")
    assert _answer(page) == "Good day to you."
    action(page, NEWEST, "Previous version")
    page.wait_for_selector(f"{NEWEST} [aria-label='Version 2 of 3']")
    page.reload()
    started(page)
    page.wait_for_selector(FOLD)
    assert _answer(page) == "Good night."
    action(page, NEWEST, "Branch from here")
    page.wait_for_selector("#chat-heading >> text=branch", state="attached")
    page.wait_for_selector(FOLD)
    assert _answer(page) == "Good night."


def test_an_answer_that_mentions_a_marker_is_not_folded(page: Any) -> None:
    send(page, "Write <think> before and </think> after it.")
    settled(page)
    assert _answer(page) == "Write <think> before and </think> after it."
    assert not page.locator(FOLD).count()
