"""What a person wrote or opened stays theirs: when an answer comes late, the connection breaks, or the page reloads."""

from __future__ import annotations

from typing import Any

import pytest

from modules.chat.roleplay.card_png import plain_picture
from tests.browser.driver import NEWEST, action, ask, call, new_chat

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


def test_a_message_that_is_not_sent_comes_back_beside_what_was_typed_since(page: Any) -> None:
    first, second = two_chats(page, "Sent from here", "Another place")
    held: list[Any] = []
    page.route("**/send", lambda route: held.append(route))  # a builtin cannot be marked
    with page.expect_request("**/send"):
        page.fill(FIELD, "Refused")
        page.keyboard.press("Enter")
    page.keyboard.type("Typed since")
    held.pop().fulfill(status=400, json=REFUSAL)
    has(page, "Refused\n\nTyped since")
    with page.expect_request("**/send"):
        page.keyboard.press("Enter")
    show(page, second)
    page.fill(FIELD, "A draft of the other chat")
    with page.expect_response("**/send"):
        held.pop().fulfill(status=400, json=REFUSAL)
    page.wait_for_selector(".toast >> text=The disk is full")
    page.unroute("**/send")
    assert page.input_value(FIELD) == "A draft of the other chat"
    page.fill(FIELD, "")
    show(page, first)
    has(page, "Refused\n\nTyped since")
    page.fill(FIELD, "")


def test_a_chat_that_was_opened_while_another_is_created_keeps_its_draft(page: Any) -> None:
    ask(page, "A chat with a draft")
    other = chat(page)
    page.fill(FIELD, "This draft stays here")
    new_chat(page)
    held: list[Any] = []
    page.route(
        "**/paddock/chats", lambda route: held.append(route) if route.request.method == "POST" else route.continue_()
    )
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/chats")):
        page.fill(FIELD, "The first words of a new chat")
        page.keyboard.press("Enter")
    show(page, other)
    has(page, "This draft stays here")
    with page.expect_response("**/send"):
        held.pop().continue_()
    page.click(".chat-row >> text=The first words of a new chat")
    page.wait_for_selector(f"{NEWEST} >> text=The first words of a new chat")
    assert page.input_value(FIELD) == ""
    show(page, other)
    assert page.input_value(FIELD) == "This draft stays here"
    page.fill(FIELD, "")


def test_two_changes_of_a_new_chat_make_one_chat(page: Any) -> None:
    made = page.evaluate("Promise.all([paddock.panel.create(), paddock.panel.create()])")
    assert made[0] == made[1] == chat(page)


def test_an_edit_is_answered_in_its_own_chat(page: Any) -> None:
    first, second = two_chats(page, "Edited here", "Opened then")
    held: list[Any] = []
    page.route("**/edit", lambda route: held.append(route))  # a builtin cannot be marked
    action(page, ".message.user", "Edit")
    page.fill(".edit-area", "Edited words")
    with page.expect_request("**/edit"):
        page.click(".edit-form >> text=Save and send")
    show(page, second)
    with page.expect_response("**/regenerate") as answered:
        held.pop().continue_()
    assert first in answered.value.url and answered.value.ok
    show(page, first)
    page.wait_for_selector(f"{NEWEST} >> text=Edited words")


def test_an_edit_is_saved_once_while_its_file_is_read(page: Any) -> None:
    ask(page, "Saved once")
    edits: list[str] = []
    page.on("request", lambda request: edits.append(request.url) if request.url.endswith("/edit") else None)
    held: list[Any] = []
    page.route("**/attachments?*", lambda route: held.append(route))  # a builtin cannot be marked
    action(page, ".message.user", "Edit")
    with page.expect_request("**/attachments?*"):
        page.set_input_files(
            ".edit-form input[type=file]", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"words"}
        )
    page.locator(".edit-form >> text=Save only").dblclick()
    held.pop().continue_()
    page.wait_for_selector(".message.user .attached")
    page.wait_for_selector(".edit-form", state="detached")
    assert len(edits) == 1


def test_folders_stay_open_when_another_one_is_opened(page: Any) -> None:
    made = [call(page, "/folders", {"name": name})["id"] for name in ("Near", "Far")]
    page.evaluate("dispatchEvent(new Event('paddock-chats-changed'))")
    try:
        for folder in made:
            page.wait_for_selector(f'[data-fold="{folder}"]')
        for folder in made:
            page.click(f'[data-fold="{folder}"] summary')
        page.evaluate("paddock.sidebar.draw()")
        assert [page.get_attribute(f'[data-fold="{folder}"]', "open") for folder in made] == ["", ""]
    finally:
        for folder in made:
            call(page, f"/folders/{folder}/delete", {})


def test_a_message_about_a_window_is_in_front_of_it(page: Any) -> None:
    assert page.locator("body > #toasts[role=status]").count() == 1
    page.click("#list-menu")
    page.get_by_role("menuitem", name="Prompts…").click()
    page.click("dialog:modal >> text=Save")
    # What is behind an open window has no role, and takes no clicks.
    note = page.get_by_role("status").locator(".toast")
    note.wait_for()
    note.get_by_role("button", name="Dismiss").click()
    page.click("dialog:modal >> text=Save")
    note.wait_for()
    page.keyboard.press("Escape")
    page.wait_for_selector("body > #toasts > .toast")


def test_a_double_click_deletes_no_chat_for_ever(page: Any) -> None:
    ask(page, "Almost gone")
    chat_id = chat(page)
    call(page, f"/chats/{chat_id}/trash", {})
    held: list[Any] = []
    page.route("**/chats/trash", lambda route: held.append(route))  # a builtin cannot be marked
    page.click("#list-menu")
    with page.expect_request("**/chats/trash"):
        page.get_by_role("menuitem", name="Trash…").click()
    # There is nothing to delete before the list is there: its arrival would take the question back.
    assert page.locator("dialog:modal button:visible").count() == 1
    held.pop().continue_()
    page.unroute("**/chats/trash")
    page.get_by_role("button", name="Delete all for ever").dblclick()
    page.get_by_role("button", name="Really delete").wait_for()
    listed = page.evaluate("fetch('paddock/chats/trash').then((answer) => answer.json())")
    assert chat_id in [one["id"] for one in listed]


def test_dictated_words_go_to_the_chat_in_which_they_were_spoken(page: Any) -> None:
    first, second = two_chats(page, "Spoken here", "Silent")
    page.fill(FIELD, "Written")
    page.evaluate(
        "() => { const { dictation } = paddock.composer;"
        " [dictation.state, dictation.stop] = ['recording', async () => new Blob(['sound'])]; }"
    )
    held: list[Any] = []
    page.route("**/voice/dictation", lambda route: held.append(route))  # a builtin cannot be marked
    with page.expect_request("**/voice/dictation"):
        page.click("#dictate")
    show(page, second)
    held.pop().fulfill(json={"text": "and said"})
    page.wait_for_selector("#dictate[data-state=idle]")
    assert page.input_value(FIELD) == ""
    show(page, first)
    has(page, "Written and said")
    page.fill(FIELD, "")


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


def test_what_is_typed_while_the_model_writes_the_message_stays(page: Any) -> None:
    fields = {"name": "Mabel", "greetings": [" ".join(f"word{number}" for number in range(200))]}
    saved = call(page, "/characters/save", {"name": "", "fields": fields})["name"]
    try:
        made = call(page, "/characters/chat", {"characters": [saved]})["id"]
        page.evaluate("id => paddock.open(id)", made)
        page.click("#impersonate")
        page.wait_for_function(f"document.querySelector('{FIELD}').value")
        page.fill(FIELD, "My own words")
        page.wait_for_selector("#impersonate:not(.some)")
        assert page.input_value(FIELD) == "My own words"
        page.fill(FIELD, "")
    finally:
        call(page, "/characters/delete", {"name": saved})


def test_a_new_picture_and_a_closed_window_keep_what_was_typed(page: Any) -> None:
    saved = call(page, "/characters/save", {"name": "", "fields": {"name": "Ines", "greetings": [""]}})["name"]
    file = {"name": "ines.png", "mimeType": "image/png", "buffer": plain_picture(40, 60)}
    try:
        page.click("#open-characters")
        page.get_by_role("button", name="Edit Ines").click()
        page.locator("#characters-panel").get_by_label("Personality").fill("Not saved yet")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Change picture…").click()
        chooser.value.set_files([file])
        page.wait_for_selector(".card-head .avatar img")
        assert page.locator("#characters-panel").get_by_label("Personality").input_value() == "Not saved yet"
        page.keyboard.press("Escape")
        page.click("#open-characters")
        assert page.locator("#characters-panel").get_by_label("Personality").input_value() == "Not saved yet"
    finally:
        call(page, "/characters/delete", {"name": saved})


def test_the_window_of_tools_looks_again_after_a_request_that_failed(page: Any) -> None:
    def answer(state: str) -> dict[str, Any]:
        source = {"title": "clock", "state": state, "note": "", "warning": "", "tools": [], "server": True}
        return {"status": 200, "json": {"sources": [source], "on": 0, "must_call": False}}

    answers = [answer("starting"), {"status": 400, "json": REFUSAL}, answer("ready")]
    page.route("**/paddock/tools?chat=*", lambda route: route.fulfill(**answers.pop(0)))
    page.click("#open-tools")
    page.wait_for_selector('#tools-panel [data-state="ready"]')


def test_the_sound_of_a_stopped_reading_is_not_played_beside_the_next(page: Any) -> None:
    ask(page, "Read once")
    page.evaluate(
        "() => { const fetched = window.fetch; [window.sounds, window.played] = [[], 0];"
        " const sound = { ok: true, blob: async () => new Blob(['sound']) };"
        " window.fetch = (...asked) => String(asked[0]).endsWith('/voice/speech')"
        " ? new Promise((done) => sounds.push(() => done(sound))) : fetched(...asked);"
        " const play = () => { played += 1; return new Promise(() => {}); };"
        " window.Audio = class extends EventTarget { play() { return play(); } pause() {} }; }"
    )
    for name in ("Read aloud", "Stop reading", "Read aloud"):
        action(page, NEWEST, name)
    page.evaluate("() => { for (const come of sounds) come(); return new Promise((done) => setTimeout(done)); }")
    assert page.evaluate("[sounds.length, played]") == [2, 1]


def test_the_end_of_a_job_is_announced_in_the_workshop(page: Any) -> None:
    page.click("[data-view=workshop]")
    page.evaluate("paddock.workshop.jobEnded(null)")
    page.evaluate("paddock.workshop.jobEnded({ id: 'x', title: 'Quantize small', status: 'finished', message: '' })")
    page.wait_for_selector("#announcer >> text=Quantize small has finished.", state="attached")


def test_a_generation_that_fails_after_a_switch_leaves_the_words_of_the_other_notebook(page: Any) -> None:
    page.click("[data-view=notebook]")
    page.fill("#notebook-text", "Text of the first notebook")
    page.wait_for_function("!paddock.notebook.unsaved")
    name = call(page, "/notebooks/create", {"title": "Second"})["name"]
    held: list[Any] = []
    page.route("**/notebook/generate", lambda route: held.append(route))  # a builtin cannot be marked
    with page.expect_request("**/notebook/generate"):
        page.click("#notebook-generate")
    page.evaluate("paddock.notebook.list.refresh()")
    page.select_option("#notebook-choice", name)
    page.wait_for_function("name => paddock.notebook.name === name", arg=name)
    held.pop().fulfill(status=400, json=REFUSAL)
    page.wait_for_selector(".toast >> text=The disk is full")
    assert not page.evaluate("paddock.notebook.unsaved")
    page.click("#notebook-delete")
    page.wait_for_function("paddock.notebook.name === ''")


def test_prompts_are_not_offered_once_more_was_typed(page: Any) -> None:
    held: list[Any] = []
    page.route("**/prompts", lambda route: held.append(route))  # a builtin cannot be marked
    with page.expect_request("**/prompts"):
        page.fill(FIELD, "/")
    page.fill(FIELD, "/tmp is full")
    with page.expect_response("**/prompts"):
        held.pop().fulfill(json=[])
    page.evaluate("fetch('paddock/start').then(() => new Promise((done) => setTimeout(done)))")
    assert page.is_hidden("#prompt-list")
    page.fill(FIELD, "")


def test_a_chat_that_could_not_be_deleted_is_watched_again(page: Any) -> None:
    ask(page, "Not deleted")
    page.route("**/chats/many", lambda route: route.fulfill(status=400, json=REFUSAL))
    page.evaluate("paddock.sidebar.select(paddock.chat)")
    page.click(".selection-bar >> text=Delete")
    page.wait_for_selector(".toast >> text=The disk is full")
    # While it is set, the page would not say that the chat was deleted in another tab.
    assert page.evaluate("paddock.sidebar.removing") is None


def test_a_form_that_is_sent_twice_puts_in_one_message(page: Any) -> None:
    ask(page, "Hello")
    action(page, ".message.user", "Put in a message below")
    page.locator(".insert-sheet textarea").fill("It rains.")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/insert") else None)
    page.evaluate("for (let time = 0; time < 2; time++) document.querySelector('.insert-sheet form').requestSubmit()")
    page.locator(".message", has_text="It rains.").wait_for()
    assert len(sent) == 1
