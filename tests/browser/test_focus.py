"""The keyboard's focus stays where it was when a list is drawn again, or goes to what is beside it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.driver import NEWEST, action, ask, call, new_chat, open_tab

pytestmark = pytest.mark.browser
FOCUSED = "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent).trim()"
DRAW = "paddock.sidebar.draw()"


def test_a_folder_and_its_menu_keep_the_focus(page: Any) -> None:
    folder = call(page, "/folders", {"name": "Kept"})["id"]
    try:
        page.evaluate("dispatchEvent(new Event('paddock-chats-changed'))")
        page.focus(f'[data-fold="{folder}"] summary')
        page.evaluate(DRAW)
        assert page.evaluate(FOCUSED) == "Kept"
        more = page.get_by_role("button", name="More for the folder Kept")
        more.focus()
        page.evaluate(DRAW)
        assert page.evaluate(FOCUSED) == "More for the folder Kept"
        # The button of an open menu is drawn again too.
        page.keyboard.press("Enter")
        page.get_by_role("menuitem").first.wait_for()
        page.evaluate(DRAW)
        page.keyboard.press("Escape")
        assert page.evaluate(FOCUSED) == "More for the folder Kept"
    finally:
        call(page, f"/folders/{folder}/delete", {})


def test_a_hit_of_the_search_and_the_bar_of_selected_chats_keep_the_focus(page: Any) -> None:
    ask(page, "A rare pangolin")
    page.fill("#chat-search", "pangolin")
    page.locator(".chat-hit").last.focus()
    text = page.evaluate(FOCUSED)
    page.evaluate(DRAW)
    assert page.evaluate(FOCUSED) == text and "pangolin" in text
    page.fill("#chat-search", "")
    page.wait_for_selector(".chat-hit", state="detached")
    page.evaluate("paddock.sidebar.select()")
    page.locator(".selection-bar").get_by_role("button", name="All").press("Enter")
    assert page.evaluate(FOCUSED) == "All"
    page.locator(".selection-bar").get_by_role("button", name="Cancel").click()


def test_a_restored_chat_leaves_the_focus_to_its_neighbour(page: Any) -> None:
    chats = []
    for title in ("One of two", "Two of two"):
        ask(page, title)
        chats.append(page.evaluate("paddock.chat"))
        new_chat(page)
    for one in chats:
        call(page, f"/chats/{one}/trash", {})
    page.click("#list-menu")
    page.get_by_role("menuitem", name="Trash…").click()
    # A question about the other one stays when the list is drawn again.
    page.get_by_role("button", name="Delete Two of two for ever").click()
    page.get_by_role("button", name="Restore One of two").press("Enter")
    page.wait_for_selector(".trash-row >> text=One of two", state="detached")
    assert page.evaluate("document.activeElement.closest('.trash-row') !== null")
    assert page.locator(".trash-row", has_text="Two of two").locator("button").last.inner_text() == "Really delete"


def test_pin_keeps_the_focus(page: Any) -> None:
    models = [
        {"model": name, "facts": "1 GB", "error": "", "pinned": False, "current": False} for name in ("first", "second")
    ]
    page.route("**/models/loaded", lambda route: route.fulfill(json=models))
    open_tab(page, "Model")
    page.evaluate("paddock.loadedModels.update({ beside: ['x'] })")
    page.get_by_role("button", name="Pin second").focus()
    models[1]["pinned"] = True
    with page.expect_response("**/models/loaded"):
        page.evaluate("paddock.loadedModels.update({ beside: ['y'] })")
    page.get_by_role("button", name="Unpin second").wait_for()
    assert page.evaluate(FOCUSED) == "Unpin second"
    models.pop()
    page.evaluate("paddock.loadedModels.update({ beside: ['z'] })")
    page.get_by_role("button", name="Unpin second").wait_for(state="detached")
    assert page.evaluate(FOCUSED) == "Pin first"


def test_a_job_that_ends_keeps_the_focus_in_its_row(page: Any) -> None:
    page.click("[data-view=workshop]")
    page.wait_for_selector("#recommend-model", state="attached")
    # The host's own jobs, which are none, come at any moment.
    page.evaluate(
        "() => { const { workshop } = paddock; const set = workshop.setJobs.bind(workshop);"
        " workshop.setJobs = () => {}; window.showJobs = set; }"
    )
    show = (
        "(jobs) => window.showJobs(jobs.map(([id, status]) => ({ id, status, title: id, message: '',"
        " spec: { kind: 'quantize' }, made: null, step: '', fraction: null, seconds_left: null })))"
    )
    page.evaluate(show, [["b", "running"], ["a", "running"]])
    page.locator('[data-job="a"]').get_by_role("button", name="Cancel").focus()
    # Another job moves the rows; then the focused one ends.
    page.evaluate(show, [["c", "waiting"], ["b", "running"], ["a", "running"]])
    assert page.evaluate("document.activeElement.closest('.job')?.dataset.job") == "a"
    page.evaluate(show, [["c", "waiting"], ["b", "running"], ["a", "cancelled"]])
    assert page.evaluate("document.activeElement.closest('.job')?.dataset.job") == "a"
    assert page.evaluate(FOCUSED) == "Try again"


def test_forget_it_goes_to_the_next_one(page: Any) -> None:
    found = {"items": [], "missing": ["Gone", "Lost"], "on": 2, "folders": True, "installing": False, "error": ""}
    found |= {"model": "", "models": [{"value": "", "label": "Words only"}]}
    page.route("**/knowledge?chat=*", lambda route: route.fulfill(json=found))
    page.route("**/knowledge/switch", lambda route: route.fulfill(json={**found, "missing": ["Lost"]}))
    page.click("#open-knowledge")
    page.get_by_role("button", name="Forget it").first.press("Enter")
    page.wait_for_selector("#knowledge-panel >> text=Gone was removed", state="detached")
    assert page.evaluate(FOCUSED) == "Forget it"


@pytest.mark.parametrize("how", ["continue", "reload", "speak"])
def test_a_short_reply_is_announced_however_it_was_asked_for(page: Any, how: str) -> None:
    ask(page, "Hello")
    page.route(f"**/{how}", lambda route: route.fulfill(json={}))
    if how == "continue":
        action(page, NEWEST, "Continue this reply")
    else:
        page.evaluate("how => paddock.act(how)", how)
    # It is so short that the page never sees it being written.
    page.evaluate(
        "() => { const { cards, last } = paddock.transcript;"
        " const card = JSON.parse(JSON.stringify(last).replaceAll('Hello', 'Hello, short one'));"
        " paddock.stream.handlers.messages("
        "   { keep: cards.length, set: [card], add: [], living: null, cut: null, title: paddock.title }); }"
    )
    page.wait_for_selector("#announcer >> text=Reply: Hello, short one", state="attached")
