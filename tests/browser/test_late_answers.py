"""An answer that comes late takes nothing back: no choice, no question, and nothing that was typed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.browser.driver import ask, call, drawn

pytestmark = pytest.mark.browser
CHARACTERS = "#characters-panel"


def hold(page: Any, address: str, method: str = "GET") -> list[Any]:
    """Keep back the requests to an address, and return the list that they come into."""
    held: list[Any] = []

    def take(route: Any) -> None:
        if route.request.method == method:
            held.append(route)
        else:
            route.continue_()

    page.route(address, take)
    return held


def release(page: Any, address: str, held: list[Any], place: int = 0) -> None:
    """Let a request go on, and wait until the page has its answer."""
    while len(held) <= place:
        drawn(page)  # the route may come after the request's event
    with page.expect_response(address) as answered:
        held.pop(place).continue_()
    answered.value.finished()
    # The page reads the answer, and draws.
    page.evaluate("fetch('paddock/start').then(() => new Promise((done) => setTimeout(done)))")


def test_what_is_typed_while_a_prompt_is_saved_stays(page: Any) -> None:
    page.click("#list-menu")
    page.get_by_role("menuitem", name="Prompts…").click()
    window = page.locator("dialog:modal")
    name, text = (window.get_by_label(label, exact=True) for label in ("Name", "Text"))
    held = hold(page, "**/paddock/prompts", "POST")
    name.fill("late")
    text.fill("The first text")
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/prompts")):
        page.get_by_role("button", name="Save", exact=True).click()
    text.fill("The next text")
    held.pop().continue_()
    page.wait_for_selector(".prompt-row >> text=/late")
    assert [name.input_value(), text.input_value()] == ["", "The next text"]
    page.get_by_role("button", name="Delete late").click()
    page.wait_for_selector(".prompt-row >> text=/late", state="detached")


def test_a_list_of_prompts_that_comes_late_is_not_the_newer_one(page: Any) -> None:
    held = hold(page, "**/paddock/prompts")
    page.click("#list-menu")
    with page.expect_request("**/paddock/prompts"):
        page.get_by_role("menuitem", name="Prompts…").click()
    window = page.locator("dialog:modal")
    window.get_by_label("Name", exact=True).fill("newer")
    window.get_by_label("Text", exact=True).fill("Text")
    with page.expect_request(lambda request: request.method == "GET" and request.url.endswith("/prompts")):
        page.get_by_role("button", name="Save", exact=True).click()
    # The first request is answered as if the host had read the list before.
    first = held.pop(0)
    release(page, "**/paddock/prompts", held)
    page.wait_for_selector(".prompt-row >> text=/newer")
    with page.expect_response("**/paddock/prompts"):
        first.fulfill(json=[])
    page.evaluate("fetch('paddock/start').then(() => new Promise((done) => setTimeout(done)))")
    assert page.locator(".prompt-row >> text=/newer").count() == 1
    page.unroute("**/paddock/prompts")
    call(page, "/prompts/delete", {"name": "newer"})


def test_two_parameters_of_a_chat_are_changed_while_the_first_is_stored(page: Any) -> None:
    ask(page, "Hello")
    page.click("#open-chat-panel")
    add = page.get_by_label("Change a parameter in this chat")
    for label in ("Temperature", "Top-p"):
        value = add.locator("option", has_text=label).first.get_attribute("value")
        with page.expect_response("**/settings"):
            add.select_option(value)
    rows = page.locator("#chat-panel .chat-parameter")
    one, other = (rows.filter(has_text=label).locator("input") for label in ("Temperature", "Top-p"))
    held = hold(page, "**/settings", "POST")
    one.fill("0.5")
    with page.expect_request("**/settings"):
        one.press("Tab")
    other.fill("0.25")
    release(page, "**/settings", held)
    assert other.input_value() == "0.25"
    assert other.evaluate("field => field === document.activeElement")
    with page.expect_request("**/settings"):
        other.press("Tab")
    release(page, "**/settings", held)
    page.unroute("**/settings")
    stored = page.evaluate("fetch(`paddock/chats/${paddock.chat}/settings`).then((answer) => answer.json())")
    assert {0.5, 0.25} <= set(stored["settings"]["parameters"].values())


def test_the_editor_that_was_opened_last_stays(page: Any) -> None:
    fields = {"greetings": [""]}
    names = [call(page, "/characters/save", {"name": "", "fields": {"name": one, **fields}})["name"] for one in "PQ"]
    try:
        page.click("#open-characters")
        held = hold(page, f"**/characters/one?name={names[0]}")
        with page.expect_request("**/characters/one?*"):
            page.get_by_role("button", name="Edit P").click()
        page.get_by_role("button", name="Edit Q").click()
        text = page.locator(CHARACTERS).get_by_label("Personality")
        text.fill("Half written")
        release(page, "**/characters/one?*", held)
        assert text.input_value() == "Half written"
        assert page.locator(CHARACTERS).get_by_label("Name").first.input_value() == "Q"
    finally:
        for name in names:
            call(page, "/characters/delete", {"name": name})


def test_a_persona_that_is_being_written_stays_when_a_lorebook_was_imported(page: Any) -> None:
    page.click("#open-characters")
    page.get_by_role("tab", name="Lorebooks").click()
    held = hold(page, "**/lorebooks/import?*", "PUT")
    page.get_by_role("button", name="Import…").wait_for()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Import…").click()
    book = json.dumps({"name": "Late", "entries": []}).encode()
    with page.expect_request("**/lorebooks/import?*"):
        chooser.value.set_files([{"name": "late.json", "mimeType": "application/json", "buffer": book}])
    page.get_by_role("tab", name="Personas").click()
    page.get_by_role("button", name="New persona").click()
    page.locator(CHARACTERS).get_by_label("Description").fill("Half written")
    held.pop().continue_()
    page.wait_for_selector(".toast >> text=Imported")
    page.evaluate("fetch('paddock/lorebooks').then(() => new Promise((done) => setTimeout(done)))")
    assert page.locator(CHARACTERS).get_by_label("Description").input_value() == "Half written"
    listed = page.evaluate("fetch('paddock/lorebooks').then((answer) => answer.json())")
    for one in listed["lorebooks"]:
        call(page, "/lorebooks/delete", {"name": one["name"]})


def test_a_second_switch_stays_on_when_the_first_is_answered(page: Any) -> None:
    ask(page, "Hello")
    page.click("#open-tools")
    held = hold(page, "**/tools/switch", "POST")
    with page.expect_request("**/tools/switch"):
        page.get_by_role("checkbox", name="calculate", exact=True).check()
    other = page.get_by_role("checkbox", name="fetch_page", exact=True)
    other.check()
    with page.expect_request("**/tools/switch"):
        release(page, "**/tools/switch", held)
    assert other.is_checked()
    release(page, "**/tools/switch", held)
    page.wait_for_selector("#open-tools[aria-label='Tools: 2 on']", state="attached")
    assert other.is_checked()


def test_a_switch_that_was_refused_goes_back_and_a_later_one_stays(page: Any) -> None:
    ask(page, "Hello")
    page.click("#open-tools")
    held = hold(page, "**/tools/switch", "POST")
    first, second = (page.get_by_role("checkbox", name=name, exact=True) for name in ("calculate", "fetch_page"))
    with page.expect_request("**/tools/switch"):
        first.check()
    second.check()
    while not held:
        drawn(page)
    with page.expect_request("**/tools/switch"):
        held.pop().fulfill(status=400, json={"error": "The disk is full."})
    assert second.is_checked()
    release(page, "**/tools/switch", held)
    page.wait_for_selector("#open-tools[aria-label='Tools: 1 on']", state="attached")
    assert [first.is_checked(), second.is_checked()] == [False, True]


def test_the_window_of_a_chat_that_was_left_does_not_open(page: Any) -> None:
    ask(page, "Hello")
    held = hold(page, "**/paddock/tools?chat=*")
    with page.expect_request("**/paddock/tools?chat=*"):
        page.click("#open-tools")
    page.click("#new-chat")
    page.wait_for_selector("#chat.empty .chip")
    release(page, "**/paddock/tools?chat=*", held)
    assert page.locator("dialog:modal").count() == 0


def test_the_panel_of_a_chat_is_drawn_once_when_it_is_opened_twice(page: Any) -> None:
    ask(page, "Hello")
    held = hold(page, "**/settings")
    for _ in range(2):
        with page.expect_request("**/settings"):
            page.click("#open-chat-panel")
    release(page, "**/settings", held, 1)
    area = page.locator("#chat-panel textarea[aria-label='System prompt']")
    area.fill("Half written")
    release(page, "**/settings", held)
    assert area.input_value() == "Half written"
    page.unroute("**/settings")


def test_what_is_typed_before_a_notebook_is_there_comes_after_its_text(page: Any) -> None:
    page.click("[data-view=notebook]")
    page.fill("#notebook-text", "A long story")
    page.wait_for_function("!paddock.notebook.unsaved")
    page.click("[data-view=chat]")
    page.reload()
    page.wait_for_selector("body.started")
    held = hold(page, "**/notebook/events?*")
    with page.expect_request("**/notebook/events?*"):
        page.click("[data-view=notebook]")
    page.locator("#notebook-text").press_sequentially(" goes")
    page.keyboard.press("Control+Enter")
    assert page.is_disabled("#notebook-generate")
    while not held:
        drawn(page)
    held.pop().continue_()
    page.wait_for_function("document.querySelector('#notebook-text').value === 'A long story goes'")
    page.wait_for_function("!paddock.notebook.unsaved")
    page.unroute("**/notebook/events?*")
    page.fill("#notebook-text", "")
    page.wait_for_function("!paddock.notebook.unsaved")


def test_a_list_of_notebooks_that_comes_late_does_not_leave_the_new_one(page: Any) -> None:
    page.click("[data-view=notebook]")
    page.wait_for_function("!paddock.notebook.waiting")
    held = hold(page, "**/paddock/notebooks")
    with page.expect_request("**/paddock/notebooks"):
        page.evaluate("void paddock.notebook.list.refresh()")
    page.click("#notebook-new")
    page.fill(".notebook-name", "Made since")
    with page.expect_request(lambda request: request.method == "GET" and request.url.endswith("/notebooks")):
        page.keyboard.press("Enter")
    release(page, "**/paddock/notebooks", held, 1)
    page.wait_for_function("paddock.notebook.name")
    with page.expect_response("**/paddock/notebooks"):
        held.pop().fulfill(json={"names": []})
    page.evaluate("fetch('paddock/start').then(() => new Promise((done) => setTimeout(done)))")
    assert page.evaluate("paddock.notebook.name")
    page.unroute("**/paddock/notebooks")
    page.click("#notebook-delete")
    page.wait_for_function("paddock.notebook.name === ''")


def test_tokens_that_come_late_are_not_offered_for_another_text(page: Any) -> None:
    page.click("[data-view=notebook]")
    page.fill("#notebook-text", "Once upon")
    if page.get_attribute("#notebook-tokens-switch", "aria-pressed") != "true":
        page.click("#notebook-tokens-switch")
    held = hold(page, "**/notebook/next", "POST")
    with page.expect_request("**/notebook/next"):
        page.get_by_role("button", name="What comes next?").click()
    page.locator("#notebook-text").press_sequentially(" a time")
    # To continue with one of them would put the text of before in place of this one.
    with page.expect_response("**/notebook/next"):
        held.pop().fulfill(json={"top": [{"text": " a", "probability": 0.5}]})
    page.evaluate("fetch('paddock/start').then(() => new Promise((done) => setTimeout(done)))")
    assert page.locator(".alternative").count() == 0
    page.fill("#notebook-text", "")
    page.wait_for_function("!paddock.notebook.unsaved")


def test_the_workshop_keeps_what_was_chosen_before_its_models_are_known(page: Any) -> None:
    held = hold(page, "**/workshop/state")
    with page.expect_request("**/workshop/state"):
        page.click("[data-view=workshop]")
    starts = ("recommend-start", "quantize-plan", "quantize-start", "evaluate-start", "compare-start", "train-start")
    assert [one for one in starts if not page.is_disabled(f"#{one}")] == []
    page.get_by_label("What matters").select_option("speed")
    release(page, "**/workshop/state", held)
    page.wait_for_selector("#recommend-model option", state="attached")
    assert page.get_by_label("What matters").input_value() == "speed"


def test_a_new_model_leaves_a_name_that_is_half_typed_and_a_question(page: Any) -> None:
    page.click("[data-view=workshop]")
    page.wait_for_selector(".model-list li")
    names = page.locator(".model-list li").evaluate_all("rows => rows.map((row) => row.dataset.model)")
    first, second = (page.locator(f'[data-model="{name}"]') for name in names[:2])
    first.get_by_role("button", name="Rename").click()
    first.locator("input").fill("half typed")
    # The second click of a double click is no answer.
    second.get_by_role("button", name="Discard").dblclick()
    second.get_by_role("button", name="Move to the trash").wait_for()
    models = page.evaluate("fetch('paddock/workshop/state').then((answer) => answer.json())")["models"]
    page.evaluate(
        "models => paddock.workshop.models.update({ adapters: [], trash: [],"
        " models: [...models, { name: 'made since', size_bytes: 1 }] })",
        models,
    )
    page.locator('[data-model="made since"]').wait_for()
    assert first.locator("input").input_value() == "half typed"
    assert second.get_by_role("button", name="Move to the trash").is_visible()


def test_the_palette_lists_a_chat_once_when_it_was_closed_before_the_chats_came(page: Any) -> None:
    ask(page, "Listed once")
    held = hold(page, "**/paddock/chats")
    for closed in (True, False):
        with page.expect_request("**/paddock/chats"):
            page.keyboard.press("Control+k")
        if closed:
            page.keyboard.press("Escape")
    page.keyboard.type("Listed once")
    release(page, "**/paddock/chats", held, 1)
    release(page, "**/paddock/chats", held)
    page.wait_for_selector(".palette-row >> text=Listed once")
    assert page.locator(".palette-row", has_text="Listed once").count() == 1
    page.unroute("**/paddock/chats")


def test_an_editor_that_comes_late_does_not_take_the_focus_from_a_message(page: Any) -> None:
    ask(page, "Edited late")
    held = hold(page, "**/messages/*")
    page.hover(".message.user")
    with page.expect_request("**/messages/*"):
        page.locator(".message.user").get_by_role("button", name="Edit", exact=True).click()
    page.locator("#chat-input textarea").press_sequentially("I write")
    held.pop().continue_()
    page.wait_for_selector(".edit-area")
    page.keyboard.type(" on")
    assert page.input_value("#chat-input textarea") == "I write on"
    page.fill("#chat-input textarea", "")
