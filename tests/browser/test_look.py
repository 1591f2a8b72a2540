"""Small screens, keyboard, names for screen readers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.driver import ask, new_chat, open_tab, ready

pytestmark = pytest.mark.browser
WIDE_TEXT = "| a | b |\n|---|---|\n| " + "wide " * 60 + " | " + "x" * 300 + " |"


@pytest.mark.parametrize("width", [390, 430, 768])
def test_nothing_is_wider_than_a_small_screen(paddock: Any, visit: Any, width: int) -> None:
    page = visit(paddock.address, width=width, height=800, has_touch=True)
    ready(page)
    page.click("#open-sidebar")
    page.click("#new-chat")
    page.fill("#chat-input textarea", WIDE_TEXT)
    page.press("#chat-input textarea", "Enter")
    page.wait_for_selector(".message.assistant:not(.living)")
    fits = "document.documentElement.scrollWidth <= innerWidth && (e => e.scrollWidth <= e.clientWidth)"
    assert page.evaluate(f"{fits}(document.querySelector('#chat'))")
    for name in ("Parameters", "Model", "Session"):
        open_tab(page, name)
        assert page.evaluate(f"{fits}(document.querySelector('#drawer'))"), name
        box = page.locator("#drawer").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width + 0.5
    page.click("#close-drawer")
    page.click("[data-view=notebook]")
    assert page.evaluate(f"{fits}(document.querySelector('#notebook-tab'))")


def test_the_system_s_dark_is_followed(paddock: Any, visit: Any) -> None:
    page = visit(paddock.address, color_scheme="dark")
    page.wait_for_selector("body.dark")
    page.emulate_media(color_scheme="light")
    page.wait_for_selector("body:not(.dark)")


def test_the_keyboard_reaches_everything_and_focus_is_seen(paddock: Any, visit: Any) -> None:
    page = visit(paddock.address)
    ready(page)
    new_chat(page)
    ask(page, "Tab through this")
    page.fill("#chat-search", "Tab through this")
    page.wait_for_function("document.querySelectorAll('.chat-row').length === 1")
    page.focus("#close-sidebar")
    seen = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "(() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.id || e.getAttribute('aria-label') || e.textContent.trim().slice(0, 30), s.outlineStyle] })()"
        )
        seen.add(name)
        assert outline != "none" or page.evaluate("document.activeElement.matches('#chat-input *, body')"), name
    assert {"new-chat", "model-pill", "open-drawer", "Copy", "Edit", "Regenerate"} <= seen, seen
    assert not page.evaluate("document.activeElement.closest('#drawer') !== null")


def test_esc_closes_the_drawer_and_gives_the_focus_back(paddock: Any, visit: Any) -> None:
    page = visit(paddock.address)
    page.click("#open-drawer")
    page.wait_for_selector("#drawer", state="visible")
    page.keyboard.press("Escape")
    page.wait_for_selector("body:not(.drawer-open)")
    assert page.evaluate("document.activeElement.id") == "open-drawer"


def test_every_button_and_field_has_a_name(paddock: Any, visit: Any) -> None:
    page = visit(paddock.address)
    ready(page)
    new_chat(page)
    ask(page, "Names for all")
    nameless = page.evaluate(
        "[...document.querySelectorAll('#header, #sidebar, #chat-tab, #notebook-tab')].flatMap(part =>"
        " [...part.querySelectorAll('button, input, textarea')]).filter(e =>"
        " !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert nameless == []
