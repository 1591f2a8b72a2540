"""Characters on the page: make, import and edit them, chat with one and with several, at two widths, by keyboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modules.chat.roleplay.card_png import plain_picture, write_png_card
from tests.browser.driver import NEWEST, action, ready, send, settled

pytestmark = pytest.mark.browser
MARKUP = "<img src=x onerror=\"console.error('ran')\"><script>console.error('ran')</script>"
CARD = {
    "spec": "chara_card_v3",
    "spec_version": "3.0",
    "data": {
        "name": "Zoë",
        "description": MARKUP,
        "personality": MARKUP,
        "first_mes": f"Good day, {{{{user}}}}. {MARKUP}",
        "alternate_greetings": ["Another day."],
        "creator_notes": MARKUP,
        "tags": [MARKUP],
        "character_book": {
            "extensions": {},
            "entries": [
                {
                    "keys": ["castle"],
                    "content": "It is old.",
                    "comment": MARKUP,
                    "enabled": True,
                    "insertion_order": 1,
                    "extensions": {},
                }
            ],
        },
    },
}
WORLD = {"entries": {"0": {"uid": 0, "key": ["moon"], "content": "It is far.", "comment": "Moon", "order": 5}}}


@pytest.fixture(params=[1280, 390])
def page(own_paddock: Any, visit: Any, request: pytest.FixtureRequest) -> Any:
    """Return a page at the width of a desktop and of a phone."""
    page = visit(own_paddock("--model", "small").address, width=request.param, height=844)
    ready(page)
    return page


def open_panel(page: Any) -> None:
    """Open the window of characters with the keyboard."""
    if not page.is_visible("#open-characters"):
        page.click("#open-sidebar")
    page.focus("#open-characters")
    page.keyboard.press("Enter")
    page.wait_for_selector("#characters-panel[open]")


def choose(page: Any, button: str, *files: Path) -> None:
    """Press a button that asks for files, and choose these."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button, exact=True).click()
    chooser.value.set_files([str(file) for file in files])


def fits(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def section(page: Any, title: str) -> Any:
    return page.locator("#chat-panel .chat-section", has=page.locator("legend", has_text=title)).first


def test_a_walk_through_characters(page: Any, tmp_path: Path) -> None:
    card = tmp_path / "zoe.png"
    card.write_bytes(write_png_card(plain_picture(40, 60), {"ccv3": json.dumps(CARD).encode()}, {}, "x"))
    world = tmp_path / "world.json"
    world.write_text(json.dumps(WORLD))

    # Import a card, and make a character by hand with two greetings.
    open_panel(page)
    choose(page, "Import…", card)
    page.get_by_role("button", name="Edit Zoë").wait_for()
    page.get_by_role("button", name="New character").click()
    page.locator("#characters-panel").get_by_label("Name", exact=True).fill("Bo")
    page.keyboard.press("Tab")
    page.keyboard.type("{{char}} cooks.")
    page.get_by_role("textbox", name="Greeting", exact=True).fill("Hungry, {{user}}?")
    page.get_by_role("button", name="Add another greeting").click()
    page.keyboard.type("Soup?")
    assert fits(page)
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Change picture…").wait_for()
    choose(page, "Change picture…", card)
    page.wait_for_selector(".card-head .avatar img")
    page.get_by_role("button", name="All characters").click()

    # Edit the lorebook of the card: its fields are texts, and what is not shown stays.
    page.get_by_role("button", name="Edit Zoë").click()
    assert page.locator("#characters-panel").get_by_label("Description", exact=False).first.input_value() == MARKUP
    page.get_by_text("Note at a depth, nickname").click()
    page.get_by_role("button", name="Lorebook: 1 entry…").click()
    page.locator(".lore-entry summary").click()
    page.locator(".lore-entry").get_by_label("Keys", exact=False).first.fill("castle, tower")
    assert fits(page)
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Edit Zoë").wait_for()

    # A persona that is the default, and a lorebook of SillyTavern for every chat.
    tab(page, "Personas")
    page.get_by_role("button", name="New persona").click()
    page.locator("#characters-panel").get_by_label("Name", exact=False).first.fill("Kim")
    page.get_by_role("checkbox", name="Use it in chats without another persona").check()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Edit Kim").wait_for()
    tab(page, "Lorebooks")
    choose(page, "Import…", world)
    page.get_by_role("button", name="Edit world").click()
    page.get_by_role("checkbox", name="Use it in every chat").check()
    # An answer that comes late does not take the user back.
    held: list[Any] = []
    page.route("**/lorebooks/save", lambda route: held.append(route))  # a builtin cannot be marked
    page.get_by_role("button", name="Save", exact=True).click()
    tab(page, "Characters")
    page.get_by_role("button", name="Chat with Zoë").wait_for()
    held[0].continue_()
    page.get_by_text("Saved world.").wait_for()

    # Chat with the character: its greetings are versions, and the reply says which entries it used.
    page.get_by_role("button", name="Chat with Zoë").click()
    page.wait_for_selector(f"{NEWEST} .speaker")
    greeting = page.locator(NEWEST)
    assert "Good day, Kim." in greeting.inner_text() and greeting.get_by_text("1 / 2").is_visible()
    greeting.get_by_role("button", name="Next version").click()
    page.get_by_text("Another day.").wait_for()
    send(page, "the tower under the moon")
    settled(page)
    page.locator(f"{NEWEST} .lore-used summary").click()
    used = page.locator(f"{NEWEST} .lore-used").inner_text()
    assert "world: Moon (moon)" in used and "tower" in used
    assert fits(page)

    # Put in a narrator's message, and let the model write for the user.
    action(page, ".message.user >> nth=-1", "Put in a message below")
    page.locator(".insert-sheet").get_by_label("From").select_option(label="A narrator")
    page.locator(".insert-sheet textarea").fill("It rains.")
    page.get_by_role("button", name="Put it in").click()
    page.wait_for_selector(".message.narrator")
    page.click("#impersonate")
    page.wait_for_function("document.querySelector('#chat-input textarea').value.length > 5")
    page.wait_for_selector("#impersonate:not(.some)")
    page.fill("#chat-input textarea", "")

    # This chat: an author's note, and a group of two in which both answer.
    page.click("#open-chat-panel")
    page.wait_for_selector("#chat-panel .group-row")
    section(page, "Author's note").locator("textarea").fill("Be brief.")
    group = section(page, "Group")
    group.get_by_role("checkbox", name="Bo").check()
    group.get_by_role("checkbox", name="Zoë").check()
    group.get_by_label("Who answers").select_option("list")
    assert fits(page)
    page.keyboard.press("Escape")
    send(page, "and now both")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.message.assistant:not(.living) .speaker')]"
        ".slice(-2).map((one) => one.innerText.replace(/\\s+/g, ' ').trim()).join().includes('Bo')"
        " && document.querySelectorAll('.message.assistant:not(.living)').length >= 4"
    )
    page.reload()
    page.wait_for_selector(".message.narrator")
    page.click("#open-chat-panel")
    page.wait_for_selector("#chat-panel .group-row")
    assert section(page, "Author's note").locator("textarea").input_value() == "Be brief."


def test_a_lorebook_with_values_of_any_type_can_be_edited(page: Any) -> None:
    entries: list[Any] = [
        {"keys": "castle, moon", "content": "x", "secondary_keys": ["sea"], "extensions": {"case_sensitive": True}},
        None,
        {"keys": [None, 7, {}], "comment": {}, "content": ["y"]},
    ]
    body = json.dumps({"entries": entries, "name": "Odd"})
    page.evaluate("body => fetch('paddock/lorebooks/import?name=odd.json', { method: 'PUT', body })", body)
    open_panel(page)
    tab(page, "Lorebooks")
    page.get_by_role("button", name="Edit Odd").click()
    page.wait_for_selector(".lore-entry >> nth=1")
    assert page.locator(".lore-entry summary").all_inner_texts() == ["castle, moon", "7"]
    page.locator(".lore-entry summary").first.click()
    page.locator(".lore-entry").first.get_by_label("Upper and lower case count").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Edit Odd").wait_for()
    saved = page.evaluate("fetch('paddock/lorebooks/one?name=Odd').then((answer) => answer.json())")
    assert [entry["keys"] for entry in saved["book"]["entries"]] == ["castle, moon", [None, 7, {}]]
    first = saved["book"]["entries"][0]
    assert (first["case_sensitive"], first["secondary_keys"], "selective" in first) == (False, ["sea"], False)
