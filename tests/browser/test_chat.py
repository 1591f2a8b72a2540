"""Chat in the browser: everyday use."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

import pytest

from tests.browser.conftest import Served, prepare
from tests.browser.driver import NEWEST, action, ask, living, new_chat, newest, ready, send, settled, started

pytestmark = pytest.mark.browser
LONG = "!long these words come again and again"


def test_a_reply_shows_its_statistics(page: Any) -> None:
    assert ask(page, "What is a paddock made of?") == "What is a paddock made of?"
    assert not page.is_visible(f"{NEWEST} .statistics")
    action(page, NEWEST, "Statistics")
    figures = page.locator(f"{NEWEST} .statistics").inner_text()
    action(page, NEWEST, "Statistics")
    assert not page.is_visible(f"{NEWEST} .statistics")
    assert re.search(r"tokens/s · 6 tokens · .*context \d+ of 4,096", figures), figures
    page.wait_for_selector(".chat-row.current:has-text('What is a paddock made of?')")


def test_a_suggested_question_is_sent_by_a_click(page: Any) -> None:
    question = page.locator(".chip").first.inner_text()
    page.locator(".chip").first.click()
    settled(page)
    assert newest(page) == question


def test_the_answer_streams_and_esc_stops_it(page: Any) -> None:
    send(page, LONG)
    living(page, 3)
    before = page.locator(".message.living .message-body").inner_text()
    living(page, len(before.split()) + 5)
    assert page.locator(".message.living .message-body").inner_text().startswith(before[:20])
    assert page.locator("#stop").is_visible() and page.locator("#send").is_hidden()
    page.keyboard.press("Escape")
    settled(page)
    assert "stopped" in page.locator(f"{NEWEST} .finish-reason").inner_text()
    assert len(newest(page).split()) > len(before.split())


def test_shift_enter_breaks_the_line_and_enter_sends(page: Any) -> None:
    page.fill("#chat-input textarea", "first")
    page.press("#chat-input textarea", "Shift+Enter")
    page.keyboard.type("second")
    assert page.input_value("#chat-input textarea") == "first\nsecond"
    page.keyboard.press("Enter")
    settled(page)
    assert page.locator(".message.user .message-body").inner_text() == "first\nsecond"
    assert page.input_value("#chat-input textarea") == ""


def test_a_reload_during_a_reply_continues_to_show_it(page: Any) -> None:
    send(page, LONG)
    living(page, 10)
    page.reload()
    living(page, 12)
    seen = page.locator(".message.living .message-body").inner_text()
    living(page, len(seen.split()) + 10)
    page.click("#stop")
    settled(page)
    text = newest(page)
    assert text.startswith(seen[:60])
    assert re.fullmatch(rf"({re.escape(LONG)} ?)*.*", text), "a word is missing or doubled"


def test_a_second_tab_shows_the_same_reply_to_its_end(page: Any, paddock: Any, visit: Any) -> None:
    send(page, LONG)
    living(page, 5)
    other = visit(page.url, context=page.context)
    living(other, 10)
    other.click("#stop")
    settled(other)
    settled(page)
    assert newest(page) == newest(other)
    ask(other, "From the other tab")
    page.wait_for_selector(".message.user >> text=From the other tab")


def test_many_tabs_leave_connections_for_requests(paddock: Any, visit: Any) -> None:
    first = visit(paddock.address)
    for _ in range(7):
        page = visit(paddock.address, context=first.context)
        # Browsers hide background tabs. A headless browser needs an explicit event.
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true});"
            " document.dispatchEvent(new Event('visibilitychange'))"
        )
    new_chat(first)
    assert ask(first, "Is there room?") == "Is there room?"


def withhold(page: Any, path: str) -> None:
    """Delay answers to requests for this path from now on, each until `release`."""
    page.evaluate(
        "path => { const fetched = window.fetch; window.fetch = async (...asked) => {"
        " const answer = await fetched(...asked);"
        " if (asked[0].endsWith(path)) await new Promise((resolve) => (window.release = resolve));"
        " return answer; } }",
        path,
    )


def release(page: Any) -> None:
    """Let one delayed answer through, now or as soon as there is one."""
    page.wait_for_function("typeof window.release === 'function'")
    page.evaluate("() => { window.release(); window.release = null; }")


def test_a_message_typed_before_the_last_request_is_answered_is_sent(page: Any) -> None:
    ask(page, "This makes the chat")
    withhold(page, "/send")
    assert ask(page, "This is answered at once") == "This is answered at once"
    page.fill("#chat-input textarea", "And this")
    page.keyboard.press("Enter")
    release(page)
    page.wait_for_selector(f"{NEWEST} >> text=And this")
    assert page.input_value("#chat-input textarea") == ""
    release(page)


def test_text_typed_while_a_chat_is_created_stays(page: Any) -> None:
    withhold(page, "/chats")
    page.fill("#chat-input textarea", "The first message")
    page.keyboard.press("Enter")
    page.wait_for_function("typeof window.release === 'function'")
    page.keyboard.type("the second")
    release(page)
    settled(page)
    assert newest(page) == "The first message"
    assert page.input_value("#chat-input textarea") == "the second"
    page.reload()
    started(page)
    assert page.input_value("#chat-input textarea") == "the second"
    page.fill("#chat-input textarea", "")


def test_the_draft_survives_a_reload(page: Any) -> None:
    page.fill("#chat-input textarea", "not sent yet")
    page.reload()
    started(page)
    assert page.input_value("#chat-input textarea") == "not sent yet"
    page.fill("#chat-input textarea", "")


def test_an_edit_that_is_not_saved_survives_a_reload_and_a_refusal(page: Any) -> None:
    ask(page, "First words")
    action(page, ".message.user", "Edit")
    page.fill(".message.user .edit-area", "Better words")
    page.reload()
    page.wait_for_function("document.querySelector('.message.user .edit-area')?.value === 'Better words'")
    page.route("**/edit", lambda route: route.fulfill(status=400, json={"error": "The disk is full."}))
    page.click(".edit-form >> text=Save only")
    page.wait_for_selector(".toast >> text=The disk is full")
    page.wait_for_function("document.querySelector('.message.user .edit-area')?.value === 'Better words'")
    page.unroute("**/edit")
    page.click(".edit-form >> text=Save and send")
    page.wait_for_selector(f"{NEWEST} >> text=Better words")
    action(page, ".message.user", "Edit")
    page.fill(".message.user .edit-area", "Given up")
    page.press(".message.user .edit-area", "Escape")
    page.reload()
    page.wait_for_selector(f"{NEWEST} >> text=Better words")
    action(page, ".message.user", "Edit")
    assert page.input_value(".message.user .edit-area") == "Better words"


def test_regenerate_makes_a_version_and_the_arrows_switch(page: Any) -> None:
    ask(page, "Say it twice")
    action(page, NEWEST, "Regenerate")
    page.wait_for_selector(".versions >> text=2 / 2")
    settled(page)
    action(page, NEWEST, "Previous version")
    page.wait_for_selector(".versions >> text=1 / 2")
    action(page, NEWEST, "Next version")
    page.wait_for_selector(".versions >> text=2 / 2")


def test_an_edited_question_is_answered_again_and_the_old_one_is_kept(page: Any) -> None:
    ask(page, "The old question")
    action(page, ".message.user", "Edit")
    page.fill(".edit-area", "The new question")
    page.get_by_role("button", name="Save and send").click()
    page.wait_for_selector(f"{NEWEST} >> text=The new question")
    action(page, ".message.user", "Previous version")
    page.wait_for_selector(f"{NEWEST} >> text=The old question")


def test_an_edit_to_an_empty_question_is_not_sent(page: Any) -> None:
    ask(page, "Not nothing")
    action(page, ".message.user", "Edit")
    page.fill(".edit-area", " ")
    page.get_by_role("button", name="Save and send").click()
    page.wait_for_selector(".toast.error >> text=An empty message cannot be sent")
    page.get_by_role("button", name="Save only").click()
    assert page.locator(".toast.error").count() == 1
    page.fill(".edit-area", "Something")
    page.get_by_role("button", name="Save and send").click()
    page.wait_for_selector(f"{NEWEST} >> text=Something")


def test_the_toast_about_a_failed_model_disappears_when_a_model_is_ready(own_paddock: Any, visit: Any) -> None:
    served = own_paddock("--model", "small")
    page = visit(served.address)
    ready(page)
    send(page, LONG)
    living(page, 3)
    (worker,) = served.workers()
    os.kill(worker, signal.SIGKILL)
    page.wait_for_selector(".reply-error >> text=killed")
    # Shown once: under the interrupted reply, and not also at the bottom.
    page.wait_for_selector(".toast", state="detached")
    page.locator(".reply-error").get_by_role("button", name="Try again").click()
    ready(page)
    page.wait_for_selector(".reply-error", state="detached")


def test_a_lost_connection_is_shown_once_until_it_is_restored(tmp_path: Any, visit: Any) -> None:
    served = Served(prepare(tmp_path), "--model", "small")
    try:
        page = visit(served.wait())
        ready(page)
        send(page, LONG)
        living(page, 3)
        port = served.address.rpartition(":")[2]
        served.kill()
        page.wait_for_selector("body.offline")
        page.fill("#chat-input textarea", "And this")
        page.press("#chat-input textarea", "Enter")
        page.wait_for_selector(".toast >> text=Paddock is not running. Start it again in the terminal")
        page.click("#stop")
        page.click("[data-view=notebook]")
        page.fill("#notebook-text", "more")
        page.wait_for_selector("#notebook-count >> text=1 word")
        assert page.locator(".toast").count() == 1
        page.click("[data-view=chat]")
        served = Served(tmp_path, "--model", "small", "--port", port)
        # The page then has another build, so it reloads once it is connected.
        with page.expect_event("load"):
            served.wait()
            page.wait_for_selector(".toast", state="detached")
        started(page)
        assert page.input_value("#chat-input textarea") == "And this"
    finally:
        served.close()


def test_an_edited_reply_stays_as_edited(page: Any) -> None:
    ask(page, "Some words")
    action(page, NEWEST, "Edit")
    page.fill(".edit-area", "Better words")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_selector(f"{NEWEST} >> text=Better words")
    page.reload()
    page.wait_for_selector(f"{NEWEST} >> text=Better words")


def test_continue_extends_the_reply(page: Any) -> None:
    send(page, LONG)
    living(page, 5)
    page.click("#stop")
    settled(page)
    before = newest(page)
    action(page, NEWEST, "Continue this reply")
    living(page, len(before.split()) + 5)
    page.click("#stop")
    settled(page)
    assert newest(page).startswith(before.strip()[:60])
    assert len(newest(page).split()) > len(before.split())


def test_delete_removes_a_message_and_undo_restores_it(page: Any) -> None:
    ask(page, "Keep this one")
    ask(page, "Drop this one")
    action(page, ".message.user >> nth=1", "Delete this and everything after it")
    page.wait_for_selector(".message >> text=Drop this one", state="detached")
    assert page.locator(".message").count() == 2
    page.click(".toast >> text=Undo")
    page.wait_for_selector(f"{NEWEST} >> text=Drop this one")


def test_a_deletion_is_undone_while_another_reply_is_written(page: Any) -> None:
    ask(page, "Take this one back")
    action(page, ".message.user", "Delete this and everything after it")
    page.wait_for_selector("#chat.empty")
    send(page, LONG)
    living(page)
    page.click(".toast >> text=Undo")
    page.wait_for_selector(f"{NEWEST} >> text=Take this one back")
    page.click("#stop")
    page.wait_for_selector("#send:visible")
    action(page, ".message.user", "Next version")
    page.wait_for_selector(f"{NEWEST} >> text=these words come again")
    assert "stopped" in page.locator(f"{NEWEST} .finish-reason").inner_text()


def test_branch_makes_a_new_chat_that_ends_there(page: Any) -> None:
    ask(page, "First question")
    ask(page, "Second question")
    url = page.url
    action(page, ".message.assistant >> nth=0", "Branch from here")
    page.wait_for_function("url => location.href !== url", arg=url)
    page.wait_for_selector(f"{NEWEST} >> text=First question")
    assert page.locator(".message").count() == 2


def test_a_double_click_acts_once(page: Any) -> None:
    ask(page, "Branched only once")
    branches: list[str] = []
    page.on("request", lambda request: branches.append(request.url) if request.url.endswith("/branch") else None)
    withhold(page, "/branch")
    page.locator(NEWEST).get_by_role("button", name="Branch from here").dblclick()
    release(page)
    page.wait_for_selector(".toast >> text=New chat branched from this message")
    assert len(branches) == 1
    assert page.locator(".chat-row >> text='Branched only once (branch)'").count() == 1


def test_a_new_chat_does_not_show_the_title_of_the_last_one(page: Any) -> None:
    ask(page, "A title for the browser's tab")
    page.wait_for_function("document.title === 'A title for the browser\\'s tab · Paddock'")
    new_chat(page)
    assert page.title() == "Paddock"


def test_a_chat_is_renamed_deleted_and_restored(page: Any) -> None:
    ask(page, "A chat to rename")
    page.hover(".chat-row.current")
    page.locator(".chat-row.current").get_by_role("button", name=re.compile("^Rename")).click()
    page.fill(".chat-title", "A fine title")
    page.press(".chat-title", "Enter")
    page.wait_for_selector(".chat-row.current >> text=A fine title")
    page.hover(".chat-row.current")
    page.locator(".chat-row.current").get_by_role("button", name=re.compile("^Delete")).click()
    page.wait_for_selector(".chat-row >> text=A fine title", state="detached")
    page.click(".toast >> text=Undo")
    page.wait_for_selector(".chat-row.current >> text=A fine title")
    page.wait_for_selector(f"{NEWEST} >> text=A chat to rename")


def test_a_chat_renamed_while_its_reply_is_written_keeps_the_text_so_far(page: Any) -> None:
    send(page, LONG)
    living(page, 20)
    page.hover(".chat-row.current")
    page.locator(".chat-row.current").get_by_role("button", name=re.compile("^Rename")).click()
    page.fill(".chat-title", "Named in mid-reply")
    page.press(".chat-title", "Enter")
    page.wait_for_selector("#chat-heading >> text=Named in mid-reply")
    before = page.locator(".message.living .statistics").inner_text()
    page.wait_for_function("was => document.querySelector('.message.living .statistics').innerText !== was", arg=before)
    assert page.locator(".message.living .message-body").inner_text().startswith(LONG)
    page.click("#stop")
    settled(page)


def test_a_chat_deleted_in_another_tab_is_replaced_by_a_new_one(page: Any, visit: Any) -> None:
    ask(page, "An older chat")
    new_chat(page)
    ask(page, "Open in two tabs")
    other = visit(page.url, context=page.context)
    other.wait_for_selector(f"{NEWEST} >> text=Open in two tabs")
    page.hover(".chat-row.current")
    page.locator(".chat-row.current").get_by_role("button", name=re.compile("^Delete")).click()
    other.wait_for_selector(".toast >> text=The chat that was open here does not exist")
    other.wait_for_selector("#chat.empty")
    assert ask(other, "Where does this go?") == "Where does this go?"
    assert other.locator(".message.user").count() == 1
    page.click(".toast >> text=Undo")
    page.wait_for_selector(f"{NEWEST} >> text=Open in two tabs")
    other.goto(f"{page.url.split('?')[0]}?chat=nowhere")
    other.wait_for_selector(".toast >> text=its address is wrong")
    other.wait_for_selector("#chat.empty")


def test_the_search_finds_a_chat_by_its_text(page: Any) -> None:
    ask(page, "Something about zebras")
    new_chat(page)
    ask(page, "Something about walruses")
    page.fill("#chat-search", "zebras")
    page.wait_for_selector(".chat-row >> text=walruses", state="detached")
    assert page.locator(".chat-row").count() == 1
    page.fill("#chat-search", "")
    page.wait_for_selector(".chat-row >> text=walruses")


def test_copy_gives_the_source_of_a_message(page: Any) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(page, "some **bold** words")
    assert page.locator(f"{NEWEST} strong").inner_text() == "bold"
    action(page, NEWEST, "Copy")
    page.wait_for_selector(".toast >> text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "some **bold** words"


@pytest.mark.parametrize(
    "hostile",
    [
        "<img src=x onerror=window.broken=1><script>window.broken=1</script>",
        "[click](javascript:window.broken=1) ![x](https://example.org/x.png)",
        "`</code><script>window.broken=1</script>` {{constructor.constructor('window.broken=1')()}} ${window.broken=1}",
    ],
)
def test_no_typed_text_becomes_markup(page: Any, hostile: str) -> None:
    ask(page, hostile)
    assert page.evaluate("window.broken") is None
    assert page.locator(".message-body :is(script, img, [onerror])").count() == 0
    assert page.locator(".message-body a[href^=javascript]").count() == 0
    page.reload()
    page.wait_for_selector(NEWEST)
    assert page.evaluate("window.broken") is None


def test_opening_a_view_focuses_its_field(paddock: Served, visit: Any) -> None:
    page = visit(paddock.address)
    page.keyboard.type("for the chat")
    assert page.input_value("#chat-input textarea") == "for the chat"
    page.fill("#chat-input textarea", "")
    page.click("[data-view=notebook]")
    page.wait_for_selector("#notebook-text:focus")
    page.reload()
    started(page)
    page.wait_for_selector("#notebook-text:focus")


def test_the_tokens_of_a_long_message_are_shown_before_it_is_sent(paddock: Served, visit: Any) -> None:
    page = visit(paddock.address)
    ready(page)
    page.fill("#chat-input textarea", "word " * 400)
    page.wait_for_selector("#composer-note:not(.warning):has-text('of 4,096')")
    page.fill("#chat-input textarea", "word " * 6000)
    page.wait_for_selector("#composer-note.warning:has-text('Shorten it')")
    page.fill("#chat-input textarea", "")
    page.wait_for_selector("#composer-note", state="hidden")


def test_enter_during_a_stream_says_why_nothing_is_sent(paddock: Served, visit: Any) -> None:
    page = visit(paddock.address)
    new_chat(page)
    send(page, LONG)
    living(page)
    page.fill("#chat-input textarea", "the next one")
    page.press("#chat-input textarea", "Enter")
    page.wait_for_selector("#toasts .toast:has-text('A reply is being written')")
    assert page.input_value("#chat-input textarea") == "the next one"
    page.fill("#chat-input textarea", "")
    page.click("#stop")
    settled(page)


def test_a_file_that_is_dropped_outside_of_a_chat_does_not_replace_the_page(paddock: Served, visit: Any) -> None:
    page = visit(paddock.address)
    page.click("[data-view=notebook]")
    dropped = page.evaluate(
        """() => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File(["x"], "x.txt"));
            const options = { dataTransfer, bubbles: true, cancelable: true };
            const events = ["dragover", "drop"].map((name) => new DragEvent(name, options));
            return events.map((event) => !document.body.dispatchEvent(event));
        }"""
    )
    assert dropped == [True, True]
    page.wait_for_selector("#toasts .toast:has-text('Files can be dropped on a chat')")
