"""Files in the chat: attached by button, drop and paste, sent, opened, and kept by every button and a reload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Served, prepare
from tests.browser.driver import NEWEST, action, ask, drawn, new_chat, newest, ready, send, settled, started
from tests.chat.attachments.test_attachment_store import picture
from tests.support.documents import write_docx, write_epub, write_pdf, write_xlsx
from tests.support.sounds import mp3, tone

pytestmark = pytest.mark.browser
AREA = "#chat-input textarea"
CHIP = "#attachments .attachment:not(.reading)"
DOCUMENT = ".message.user details.attached.document"
# Puts a drag or a paste with files and texts where the element is.
TRANSFER = """([selector, kind, files, texts]) => {
    const transfer = new DataTransfer();
    for (const [name, text] of files) transfer.items.add(new File([text], name));
    for (const [type, text] of texts) transfer.items.add(text, type);
    const options = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
    const event = kind === "paste" ? new ClipboardEvent(kind, options) : new DragEvent(kind, options);
    document.querySelector(selector).dispatchEvent(event);
    return event.defaultPrevented;
}"""

# Plays a sound without an output device, and resolves to its length in seconds when it has begun.
PLAYED = """selector => new Promise((resolve, reject) => {
    const audio = document.querySelector(selector);
    audio.muted = true;
    audio.addEventListener("timeupdate", () => audio.currentTime > 0 && resolve(audio.duration));
    audio.play().catch(reject);
})"""


@pytest.fixture(params=[1280, 390])
def page(paddock: Served, visit: Callable[..., Any], request: pytest.FixtureRequest) -> Any:
    """Return a page with a new chat and a loaded model, at the width of a desktop and of a phone."""
    page = visit(paddock.address, width=request.param, height=844)
    ready(page)
    if request.param == 390:
        page.click("#open-sidebar")
    new_chat(page)
    return page


def attach(page: Any, *paths: Path) -> None:
    """Attach files with the button, and wait until they are read."""
    count = page.locator(CHIP).count()
    with page.expect_file_chooser() as chosen:
        page.click("#attach")
    chosen.value.set_files(list(paths))
    page.locator(CHIP).nth(count + len(paths) - 1).wait_for()


def transfer(page: Any, kind: str, files: dict[str, str], texts: dict[str, str] | None = None) -> bool:
    """Drop or paste files and texts on the field for a message. Return True if the page took them."""
    return bool(page.evaluate(TRANSFER, [AREA, kind, list(files.items()), list((texts or {}).items())]))


def test_a_document_is_attached_sent_opened_and_kept(page: Any, tmp_path: Path) -> None:
    name = "<b>herons & fish.md"
    (tmp_path / name).write_text("# Herons\n\nThey wait.\n")
    attach(page, tmp_path / name)
    chip = page.locator(CHIP)
    assert chip.locator(".attachment-name").inner_text() == name
    assert chip.locator(".attachment-facts").inner_text() == "21 bytes · 5 tokens"
    page.fill(AREA, "What do they do?")
    page.reload()
    started(page)
    chip.wait_for()
    assert page.input_value(AREA) == "What do they do?"
    page.press(AREA, "Enter")
    settled(page)
    assert newest(page) == "What do they do?" and not chip.count()
    page.wait_for_selector(f"{NEWEST} .message-note:has-text('The model read {name} whole.')")
    fold = page.locator(DOCUMENT)
    fold.locator("summary").press("Enter")
    fold.locator("pre").wait_for()
    assert fold.locator("pre").inner_text() == "# Herons\n\nThey wait.\n"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with page.expect_download() as saved:
        fold.get_by_text("Save the file").click()
    assert Path(saved.value.path()).read_text() == "# Herons\n\nThey wait.\n"
    action(page, ".message.user", "Edit")
    assert fold.is_visible() and page.input_value(".edit-area") == "What do they do?"
    page.fill(".edit-area", "And why?")
    page.get_by_role("button", name="Save and send").click()
    page.wait_for_selector(f"{NEWEST} .message-note:has-text('whole')")
    page.wait_for_selector(".message.user [aria-label='Version 2 of 2']")
    settled(page)
    action(page, ".message.user", "Previous version")
    page.wait_for_selector(".message.user [aria-label='Version 1 of 2']")
    assert fold.count() == 1
    action(page, NEWEST, "Regenerate")
    page.wait_for_selector(f"{NEWEST} [aria-label='Version 2 of 2']")
    settled(page)
    page.reload()
    started(page)
    fold.wait_for()
    action(page, NEWEST, "Branch from here")
    page.wait_for_selector("#chat-heading >> text=branch", state="attached")
    fold.wait_for()


def test_every_kind_of_document_can_be_attached(page: Any, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print('heron')\n")
    (tmp_path / "b.csv").write_text("bird,fish\nheron,perch\n")
    (tmp_path / "c.html").write_text("<p>A heron.")
    paths = [
        *(tmp_path / name for name in ("a.py", "b.csv", "c.html")),
        write_pdf(tmp_path / "d.pdf", ["A heron."]),
        write_docx(tmp_path / "e.docx", "Heron", "It waits.", ["x"]),
        write_xlsx(tmp_path / "f.xlsx", {"Birds": [["heron", 1]]}),
        write_epub(tmp_path / "g.epub", ["<p>A heron.</p>"]),
    ]
    attach(page, *paths)
    names = page.locator(f"{CHIP} .attachment-name").all_inner_texts()
    assert sorted(names) == sorted(path.name for path in paths)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert ask(page, "Which bird?") == "Which bird?"
    note = page.locator(f"{NEWEST} .message-note").first.inner_text()
    assert all(path.name in note for path in paths) and note.endswith("whole.")


def test_files_are_dropped_and_pasted_and_removed_by_keyboard(page: Any) -> None:
    assert transfer(page, "dragover", {"one.txt": "heron"})
    page.wait_for_selector("body.dropping")
    assert transfer(page, "drop", {"one.txt": "heron", "two.txt": "grebe"})
    page.locator(CHIP).nth(1).wait_for()
    assert not page.evaluate("document.body.classList.contains('dropping')")
    assert transfer(page, "paste", {"three.txt": "stork"})
    page.locator(CHIP).nth(2).wait_for()
    assert transfer(page, "paste", {"picture.png": "x"}, {"text/plain": "cells", "text/html": "<table>"}) is False
    assert transfer(page, "paste", {}, {"text/plain": "short"}) is False
    remove = page.get_by_role("button", name="Remove one.txt")
    remove.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement?.getAttribute('aria-label') === 'Remove two.txt'")
    assert page.locator(CHIP).count() == 2
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement?.getAttribute('aria-label') === 'Remove three.txt'")
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement?.id === 'attach'")
    assert page.is_disabled("#send")


def test_a_long_paste_becomes_a_file_and_can_come_back(page: Any) -> None:
    text = "heron " * 2000
    assert transfer(page, "paste", {}, {"text/plain": text})
    page.wait_for_selector(f"{CHIP}:has-text('Pasted text.txt')")
    assert page.input_value(AREA) == ""
    page.get_by_role("button", name="Put it into the message").click()
    page.locator(CHIP).wait_for(state="detached")
    assert page.input_value(AREA) == text
    page.fill(AREA, "")


def test_what_cannot_be_attached_is_a_sentence_and_nothing_is_lost(page: Any, tmp_path: Path) -> None:
    page.fill(AREA, "My question")
    (tmp_path / "good.txt").write_text("heron")
    (tmp_path / "broken.png").write_bytes(picture(40, 40)[:60])
    with (tmp_path / "large.txt").open("wb") as file:
        file.truncate(300_000_000)
    sentences = {
        write_pdf(tmp_path / "scan.pdf", ["", ""]): "scan.pdf has no text: its pages are pictures",
        write_pdf(tmp_path / "locked.pdf", ["x"], password="x"): "locked.pdf is protected by a password",
        tmp_path / "broken.png": "broken.png is damaged",
        tmp_path / "large.txt": "large.txt has 300 MB; at most 50 MB can be attached",
    }
    attach(page, tmp_path / "good.txt")
    for path, sentence in sentences.items():
        page.set_input_files("#attach-input", path)
        page.wait_for_selector(f'#toasts .toast.error:has-text("{sentence}")')
    page.locator("#attachments .reading").wait_for(state="detached")
    assert page.locator(CHIP).count() == 1 and page.input_value(AREA) == "My question"
    assert ask(page, "Well?") == "Well?"


def test_a_document_longer_than_the_context_is_announced_and_read_in_passages(page: Any, tmp_path: Path) -> None:
    text = "\n".join(f"line {number} of grass" for number in range(3000))
    (tmp_path / "long.txt").write_text(f"{text}\nThe heron eats perch.\n")
    attach(page, tmp_path / "long.txt")
    page.wait_for_selector("#attachment-note.warning:has-text('passages that match your question best')")
    assert ask(page, "What does the heron eat?") == "What does the heron eat?"
    page.wait_for_selector(f"{NEWEST} .message-note:has-text('long.txt does not fit into the context whole')")
    page.locator("#attachment-note").wait_for(state="hidden")


def test_a_model_that_cannot_see_says_so_before_sending(page: Any, tmp_path: Path) -> None:
    (tmp_path / "green.png").write_bytes(picture(400, 300))
    attach(page, tmp_path / "green.png")
    page.wait_for_selector("#attachment-note.warning:has-text('small cannot see images. Remove green.png')")
    page.fill(AREA, "What is it?")
    page.press(AREA, "Enter")
    page.wait_for_selector("#toasts .toast.error:has-text('small cannot see images')")
    page.locator(CHIP).wait_for()
    assert page.input_value(AREA) == "What is it?" and not page.locator(".message.user").count()
    page.get_by_role("button", name="Remove green.png").click()
    page.locator("#attachment-note").wait_for(state="hidden")


def test_a_model_that_cannot_hear_says_so_before_sending(page: Any, tmp_path: Path) -> None:
    (tmp_path / "tone.wav").write_bytes(tone(seconds=3))
    attach(page, tmp_path / "tone.wav")
    assert "0:03" in page.locator(CHIP).inner_text()
    page.wait_for_selector("#attachment-note.warning:has-text('small cannot hear sound. Remove tone.wav')")
    page.fill(AREA, "What is it?")
    page.press(AREA, "Enter")
    page.wait_for_selector("#toasts .toast.error:has-text('small cannot hear sound')")
    page.locator(CHIP).wait_for()
    assert not page.locator(".message.user").count()
    page.get_by_role("button", name="Remove tone.wav").click()
    page.locator("#attachment-note").wait_for(state="hidden")
    page.fill(AREA, "")


@pytest.mark.parametrize("width", [1280, 390])
def test_a_sound_is_sent_played_and_kept(visit: Callable[..., Any], tmp_path: Path, width: int) -> None:
    prepare(tmp_path, hears=True)
    (tmp_path / "a long name of a tone.wav").write_bytes(tone(seconds=2))
    (tmp_path / "silence.mp3").write_bytes(mp3(200))
    served = Served(tmp_path, "--model", "small")
    try:
        page = visit(served.wait(), width=width, height=844)
        ready(page)
        attach(page, tmp_path / "a long name of a tone.wav")
        attach(page, tmp_path / "silence.mp3")
        assert [one.split(" · ", 1)[1] for one in page.locator(f"{CHIP} .attachment-facts").all_inner_texts()] == [
            "0:02 · 1 token",
            "0:05 · 1 token",
        ]
        send(page, "What is it?")
        settled(page)
        sounds = page.locator(".message.user .attached.audio audio")
        assert [one.get_attribute("aria-label") for one in sounds.all()] == ["a long name of a tone.wav", "silence.mp3"]
        assert sounds.first.evaluate("audio => audio.controls && audio.tabIndex === 0")
        assert page.evaluate(PLAYED, ".attached.audio audio") == pytest.approx(2, abs=0.1)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        action(page, ".message.user", "Edit")
        page.locator(".edited-files .attachment").nth(1).wait_for()
        page.get_by_role("button", name="Remove silence.mp3").click()
        page.fill(".edit-area", "And now?")
        page.get_by_role("button", name="Save and send").click()
        page.wait_for_selector(".message.user [aria-label='Version 2 of 2']")
        settled(page)
        assert sounds.count() == 1
        action(page, NEWEST, "Regenerate")
        page.wait_for_selector(f"{NEWEST} [aria-label='Version 2 of 2']")
        settled(page)
        page.reload()
        started(page)
        sounds.first.wait_for()
        next((tmp_path / "user_data" / "attachments").glob("*.wav")).unlink()
        page.reload()
        started(page)
        page.wait_for_selector(".attached.missing:has-text('a long name of a tone.wav is not stored here any more')")
    finally:
        served.close()


def test_an_image_is_sent_opened_and_survives_a_kill(visit: Callable[..., Any], tmp_path: Path) -> None:
    prepare(tmp_path, sees_images=True)
    (tmp_path / "green.png").write_bytes(picture(400, 300))
    served = Served(tmp_path, "--model", "small")
    try:
        page = visit(served.wait(), width=390, height=844)
        ready(page)
        attach(page, tmp_path / "green.png")
        assert "400 × 300" in page.locator(CHIP).inner_text()
        send(page, "What is it?")
        settled(page)
        image = page.locator(".message.user button.attached.image")
        page.wait_for_function("document.querySelector('.attached.image img').naturalWidth === 400")
        served.kill()
        served = Served(tmp_path, "--model", "small")
        page = visit(served.wait())
        ready(page)
        image = page.locator(".message.user button.attached.image")
        image.press("Enter")
        viewer = page.locator("dialog.viewer")
        viewer.locator("img").wait_for()
        page.keyboard.press("Escape")
        viewer.wait_for(state="detached")
        drawn(page)
        assert image.evaluate("button => button === document.activeElement")
        next((tmp_path / "user_data" / "attachments").glob("*.png")).unlink()
        page.reload()
        started(page)
        page.wait_for_selector(".attached.missing:has-text('green.png is not stored here any more')")
    finally:
        served.close()
