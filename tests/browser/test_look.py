"""Small screens, keyboard use, and names for screen readers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.driver import NEWEST, action, ask, new_chat, open_tab, ready

pytestmark = pytest.mark.browser
WIDE_TEXT = "| a | b |\n|---|---|\n| " + "wide " * 60 + " | " + "x" * 300 + " |"


@pytest.mark.parametrize("width", [390, 430, 768])
def test_no_element_is_wider_than_a_small_screen(paddock: Any, visit: Any, width: int) -> None:
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


@pytest.mark.parametrize("width", [390, 1280])
def test_a_toast_and_its_button_share_a_line(paddock: Any, visit: Any, width: int) -> None:
    page = visit(paddock.address, width=width)
    ready(page)
    ask(page, "Short words")
    action(page, NEWEST, "Copy")
    text, button = (page.locator(f"#toasts .toast > {part}").bounding_box() for part in ("span", ".icon-button"))
    assert text["x"] + text["width"] <= button["x"] and text["y"] < button["y"] + button["height"] / 2


def test_the_list_of_chats_closes_when_the_page_becomes_narrow(paddock: Any, visit: Any) -> None:
    page = visit(paddock.address)
    page.wait_for_selector("body.sidebar-open")
    page.set_viewport_size({"width": 640, "height": 400})  # like zooming in to 200 %
    page.wait_for_selector("body:not(.sidebar-open)")
    page.click("#chat-input textarea")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.wait_for_selector("body.sidebar-open")


def test_a_toast_does_not_cover_the_composer_and_waits_for_the_pointer(paddock: Any, visit: Any) -> None:
    page = visit(paddock.address)
    ready(page)
    new_chat(page)
    ask(page, "Say something")
    page.clock.install()
    page.fill("#chat-input textarea", "line\n" * 9)
    action(page, NEWEST, "Delete this and everything after it")
    page.hover("#toasts >> text=Deleted this message and everything after it.")
    page.wait_for_function(
        "document.querySelector('#toasts').getBoundingClientRect().bottom"
        " < document.querySelector('#composer').getBoundingClientRect().top"
    )
    page.clock.run_for(20_000)
    assert page.locator("#toasts >> text=Undo").is_visible()
    page.hover("#chat-search")
    page.clock.run_for(20_000)
    assert page.locator("#toasts .toast").count() == 0
    page.fill("#chat-input textarea", "")


def test_right_to_left_text_is_shown_from_right_to_left(paddock: Any, visit: Any) -> None:
    page = visit(paddock.address)
    ready(page)
    new_chat(page)
    ask(page, "שלום (GGUF).\n\n- אחת\n\nEnglish, with a stop.\n\n```\nprint(1)\n```\n\nסוף.")
    sides = page.evaluate(
        """[...document.querySelectorAll('.message.user .message-body p, .message.user :is(li, pre)')].map(part => {
            const range = document.createRange(), box = part.getBoundingClientRect();
            range.selectNodeContents(part);
            const text = range.getBoundingClientRect();
            return text.left - box.left > box.right - text.right ? 'right' : 'left';
        })"""
    )
    assert sides == ["right", "right", "left", "left", "right"]
    assert page.locator(".message.user ul").evaluate("e => getComputedStyle(e).direction") == "rtl"
    page.fill("#chat-input textarea", "שלום")
    # The list of chats is drawn again when the reply ends.
    for selector in (".chat-row.current .chat-open", "#chat-heading", "#chat-input textarea"):
        page.wait_for_function("s => getComputedStyle(document.querySelector(s)).direction === 'rtl'", arg=selector)
    page.fill("#chat-input textarea", "")


def test_the_page_follows_the_systems_dark_theme(paddock: Any, visit: Any) -> None:
    page = visit(paddock.address, color_scheme="dark")
    page.wait_for_selector("body.dark")
    page.emulate_media(color_scheme="light")
    page.wait_for_selector("body:not(.dark)")


def test_the_keyboard_reaches_everything_and_focus_is_visible(paddock: Any, visit: Any) -> None:
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


def test_esc_closes_the_drawer_and_returns_the_focus(paddock: Any, visit: Any) -> None:
    page = visit(paddock.address)
    page.click("#open-drawer")
    page.wait_for_selector("#drawer", state="visible")
    page.keyboard.press("Escape")
    page.wait_for_selector("body:not(.drawer-open)")
    assert page.evaluate("document.activeElement.id") == "open-drawer"


def focused(page: Any) -> str:
    """Return the name of the focused element."""
    return str(page.evaluate("(e => e.getAttribute('aria-label') || e.textContent.trim())(document.activeElement)"))


def press(page: Any, name: str, within: str) -> None:
    """Press a button with the keyboard."""
    page.locator(within).get_by_role("button", name=name).focus()
    page.keyboard.press("Enter")


def focus_comes(page: Any, selector: str) -> None:
    """Wait until the element with this selector has the focus."""
    page.wait_for_function("selector => document.activeElement.matches(selector)", arg=selector)


def test_keyboard_actions_on_a_message_keep_the_focus_there(paddock: Any, visit: Any) -> None:
    page = visit(paddock.address)
    ready(page)
    new_chat(page)
    ask(page, "Who has the focus?")
    press(page, "Regenerate", NEWEST)
    page.wait_for_selector("text=2 / 2")
    focus_comes(page, "#chat-input textarea")
    press(page, "Previous version", NEWEST)
    page.wait_for_selector("text=1 / 2")
    focus_comes(page, f"{NEWEST} [aria-label='Next version']")
    press(page, "Edit", NEWEST)
    focus_comes(page, ".edit-area")
    page.keyboard.press("Escape")
    assert focused(page) == "Edit"
    page.keyboard.press("Enter")
    focus_comes(page, ".edit-area")
    page.keyboard.type(" Me.")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=3 / 3")
    focus_comes(page, f"{NEWEST} [aria-label=Edit]")
    press(page, "Delete this and everything after it", ".message.user")
    page.wait_for_selector("#chat.empty")
    focus_comes(page, "#chat-input textarea")


def test_the_list_of_chats_and_the_settings_keep_the_focus(paddock: Any, visit: Any) -> None:
    page = visit(paddock.address)
    ready(page)
    for title in ("One that stays", "One that goes", "One that is open"):
        new_chat(page)
        ask(page, title)
    press(page, "Rename One that stays", "#chat-list")
    focus_comes(page, ".chat-title")
    page.keyboard.type("It stays")
    page.keyboard.press("Enter")
    focus_comes(page, "[aria-label='Rename It stays']")
    press(page, "Delete One that goes", "#chat-list")
    focus_comes(page, ".chat-open[title='It stays']")
    press(page, "Close the list", "#sidebar")
    focus_comes(page, "#open-sidebar")
    page.keyboard.press("Enter")
    focus_comes(page, "#close-sidebar")
    press(page, "Settings", "#header")
    assert focused(page) == "Parameters"
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert focused(page) == "Model"


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
