"""Order among chats on the page, at the widths of a desktop and of a phone, with the keyboard where it counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.browser.driver import NEWEST, action, ask, new_chat, ready, send, settled

pytestmark = pytest.mark.browser


@pytest.fixture(params=[1280, 390])
def page(paddock: Any, visit: Any, request: pytest.FixtureRequest) -> Any:
    """Return a page with a new chat."""
    page = visit(paddock.address, width=request.param, height=844)
    ready(page)
    page.evaluate("localStorage.clear()")
    begin(page)
    return page


def side(page: Any) -> None:
    """Show the list of chats, which covers the chat on a phone."""
    if not page.evaluate("document.body.classList.contains('sidebar-open')"):
        page.click("#open-sidebar")


def begin(page: Any) -> None:
    side(page)
    new_chat(page)


def fits(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def choose(page: Any, button: str, item: str) -> None:
    """Open a menu with the keyboard and choose an entry."""
    page.locator(button).focus()
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name=item).focus()
    assert fits(page)
    page.keyboard.press("Enter")


def test_a_chat_goes_into_a_folder_and_is_found_by_its_words(page: Any) -> None:
    width = page.viewport_size["width"]
    word, folder = f"walrus{width}", f"Work {width}"
    ask(page, f"tell me about a {word}")
    side(page)
    current = ".chat-row.current"
    choose(page, f"{current} [aria-label^='More for']", "Move to a folder…")
    page.get_by_role("button", name="New folder…").click()
    page.locator("dialog[open]").get_by_label("Name", exact=True).fill(folder)
    page.keyboard.press("Enter")
    page.get_by_role("button", name=folder, exact=True).click()
    page.wait_for_selector(f"details:has(summary:has-text('{folder}')) {current}")
    choose(page, f"[aria-label='More for the folder {folder}']", "Settings of the folder…")
    page.locator("dialog[open]").get_by_label("System prompt").fill("Be brief.")
    assert fits(page)
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_selector("dialog[open]", state="detached")
    # The folder's prompt is what the panel of the chat says it has.
    side(page)
    page.keyboard.press("Escape")
    page.click("#open-chat-panel")
    assert page.get_attribute("#chat-panel textarea[aria-label='System prompt']", "placeholder") == "Be brief."
    assert fits(page)
    page.keyboard.press("Escape")
    begin(page)
    side(page)
    page.fill("#chat-search", word)
    page.locator(".chat-hit").first.click()
    page.wait_for_selector(f".message.found:has-text('{word}')")
    side(page)
    page.fill("#chat-search", "")
    page.wait_for_selector(f"summary:has-text('{folder}')")


def test_several_chats_are_deleted_at_once_restored_and_deleted_for_ever(page: Any) -> None:
    width = page.viewport_size["width"]
    title = f"twins of {width}"
    ask(page, title)
    begin(page)
    ask(page, title)
    side(page)
    # Titles that repeat are distinguished.
    page.wait_for_selector(f".chat-row >> text='{title} (2)'")
    choose(page, "#list-menu", "Select chats…")
    for box in page.locator(".chat-row", has_text=title).locator("input").all():
        box.check()
    page.wait_for_selector(".selection-bar >> text=2 selected")
    assert fits(page)
    page.locator(".selection-bar").get_by_role("button", name="Delete").click()
    page.wait_for_selector(f".chat-row:has-text('{title}')", state="detached")
    # A new chat is open then, and its field has the focus.
    page.wait_for_selector(".toast >> text=Deleted 2 chats.")
    side(page)
    choose(page, "#list-menu", "Trash…")
    page.get_by_role("button", name=f"Restore {title}").first.click()
    left = "title => [...document.querySelectorAll('.trash-row')].filter((row) => row.innerText.includes(title)).length"
    page.wait_for_function(f"{left} === 1", arg=title)
    page.get_by_role("button", name=f"Delete {title} for ever").click()
    page.get_by_role("button", name=f"Delete {title} for ever").click()
    page.wait_for_function(
        "title => ![...document.querySelectorAll('.trash-row')].some((row) => row.innerText.includes(title))", arg=title
    )
    page.keyboard.press("Escape")
    side(page)
    page.wait_for_selector(f".chat-row >> text='{title}'")


def test_a_chat_that_is_answered_is_marked_and_a_temporary_one_is_forgotten(page: Any) -> None:
    send(page, "on and on !long")
    side(page)
    page.wait_for_selector(".chat-row.current .answering")
    page.locator("#stop").dispatch_event("click")
    settled(page)
    page.wait_for_selector(".answering", state="detached")
    side(page)
    choose(page, "#list-menu", "New temporary chat")
    page.wait_for_selector(".temporary-note")
    ask(page, "a secret of mine")
    assert fits(page)
    page.get_by_role("button", name="Close and forget").click()
    page.wait_for_selector(".temporary-note", state="detached")
    side(page)
    page.fill("#chat-search", "a secret of mine")
    page.wait_for_selector("#chat-list >> text=No matching chats.")
    page.fill("#chat-search", "")


def test_a_prompt_of_the_library_is_completed_with_its_values(page: Any) -> None:
    side(page)
    choose(page, "#list-menu", "Prompts…")
    page.locator("dialog[open]").get_by_label("Name", exact=True).fill("explain")
    page.locator("dialog[open]").get_by_label("Text", exact=True).fill("Explain {{topic}} to {{who}}, {{user}}.")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_selector(".prompt-row >> text=/explain")
    assert fits(page)
    page.keyboard.press("Escape")
    field = page.locator("#chat-input textarea")
    field.focus()
    page.keyboard.type("/exp")
    page.wait_for_selector("#prompt-list .prompt-option[aria-selected=true] >> text=/explain")
    page.keyboard.press("Enter")
    page.locator("dialog[open]").get_by_label("topic", exact=True).fill("tea")
    page.locator("dialog[open]").get_by_label("who", exact=True).fill("<b>me</b>")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#chat-input textarea').value.startsWith('Explain')")
    assert field.input_value() == "Explain tea to <b>me</b>, {{user}}."
    field.fill("")


def test_a_reply_is_rated_and_a_chat_is_exported_and_imported(page: Any) -> None:
    title = f"<b>exported {page.viewport_size['width']}</b>"
    ask(page, title)
    action(page, NEWEST, "Good reply")
    page.wait_for_selector(f"{NEWEST} [aria-label='Good reply'][aria-pressed=true]", state="attached")
    side(page)
    files: dict[str, bytes] = {}
    for name in ("Paddock (JSON)", "Web page (HTML)", "Training data (JSONL)"):
        choose(page, ".chat-row.current [aria-label^='More for']", "Export or share…")
        assert fits(page)
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        files[name] = download.value.path().read_bytes()
        page.keyboard.press("Escape")
    assert b"<b>exported" not in files["Web page (HTML)"]
    assert json.loads(files["Training data (JSONL)"])["messages"][-1]["role"] == "assistant"
    choose(page, "#list-menu", "Import chats…")
    page.set_input_files(
        "dialog input[type=file]",
        [
            {"name": "chat.json", "mimeType": "application/json", "buffer": files["Paddock (JSON)"]},
            {"name": "broken.json", "mimeType": "application/json", "buffer": b"{"},
        ],
    )
    page.wait_for_selector("dialog >> text=chat.json: 1 chat imported.")
    page.wait_for_selector("dialog >> text=neither JSON")
    page.get_by_role("button", name="Open", exact=True).click()
    page.wait_for_selector(f"{NEWEST} [aria-label='Good reply'][aria-pressed=true]", state="attached")
    side(page)
    page.wait_for_selector(f".chat-row.current:has-text('{title} (2)')")
