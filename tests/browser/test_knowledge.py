"""Knowledge on the page: made from a folder and from files, used by a chat, cited, opened, changed and removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Served
from tests.browser.driver import NEWEST, ask, new_chat, newest, ready, settled, started
from tests.support.documents import write_pdf

pytestmark = pytest.mark.browser
PANEL = "#knowledge-panel"
ROW = f"{PANEL} .knowledge-row"


@pytest.fixture(params=[1280, 390])
def page(paddock: Served, visit: Callable[..., Any], request: pytest.FixtureRequest) -> Any:
    """Return a page with a new chat and a loaded model, at the width of a desktop and of a phone."""
    page = visit(paddock.address, width=request.param, height=844)
    ready(page)
    if request.param == 390:
        page.click("#open-sidebar")
    new_chat(page)
    return page


def _open(page: Any) -> None:
    page.focus("#open-knowledge")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{PANEL}[open]")


def _read(page: Any, name: str, facts: str) -> None:
    """Wait until a knowledge has been read."""
    page.locator(ROW, has_text=name).locator(".about", has_text=facts).wait_for()
    page.wait_for_selector(f"{PANEL} [role=status]:has-text('All documents have been read.')")


def _shot(page: Any, name: str) -> None:
    if folder := os.environ.get("PADDOCK_SHOTS"):
        page.screenshot(path=f"{folder}/{name}-{page.viewport_size['width']}.png")


def test_a_chat_reads_a_folder_and_cites_it(page: Any, tmp_path: Path) -> None:
    write_pdf(tmp_path / "boiler.pdf", ["Before winter, bleed the radiators.", "The boiler needs 1.5 bar of pressure."])
    (tmp_path / "<b>roof.md").write_text("The roof is slate.\n\nIt was laid in 1998.\n")
    name = f"House & garden {page.viewport_size['width']}"
    ask(page, "Hello")
    _open(page)
    page.fill("#knowledge-name", name)
    page.fill("#knowledge-folder", str(tmp_path))
    page.keyboard.press("Enter")
    _read(page, name, "2 documents")
    _shot(page, "knowledge-panel")
    row = page.locator(ROW, has_text=name)
    assert row.locator("input[type=checkbox]").is_checked()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.keyboard.press("Escape")
    assert page.get_attribute("#open-knowledge", "aria-label") == "Knowledge: 1 on"

    # The echo loader repeats the last line of the prompt, so the reply cites the passages that it was given.
    ask(page, "Which pressure does the boiler need? [1] and [9], `[1]`")
    assert newest(page) == "Which pressure does the boiler need? 1 and [9], [1]"
    citation = page.locator(f"{NEWEST} .citation")
    assert citation.count() == 1
    assert citation.get_attribute("aria-label") == "Passage 1: boiler.pdf, page 2"
    _shot(page, "knowledge-reply")
    citation.press("Enter")
    view = page.locator(".passage-view")
    view.locator("pre", has_text="bleed the radiators").wait_for()
    assert view.locator("mark").inner_text() == "The boiler needs 1.5 bar of pressure."
    _shot(page, "knowledge-passage")
    page.keyboard.press("Escape")
    view.wait_for(state="detached")

    page.reload()
    started(page)
    settled(page)
    page.locator(f"{NEWEST} .sources summary").press("Enter")
    source = page.locator(f"{NEWEST} .sources button")
    assert source.all_inner_texts()[0] == "boiler.pdf, page 2"
    (tmp_path / "boiler.pdf").unlink()
    _open(page)
    page.locator(ROW, has_text=name).get_by_text("Read again").click()
    _read(page, name, "1 document ")
    page.keyboard.press("Escape")
    source.first.click()
    note = view.locator(".message-note", has_text="This is the passage as the model read it.")
    note.wait_for()
    assert view.locator("mark").inner_text() == "The boiler needs 1.5 bar of pressure."
    page.keyboard.press("Escape")

    _open(page)
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator(ROW, has_text=name).get_by_text("Remove").click()
    page.locator(ROW, has_text=name).wait_for(state="detached")


def test_files_are_added_and_removed_by_hand(page: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("The key hangs behind the door.")
    name = f"Notes {page.viewport_size['width']}"
    _open(page)
    page.fill("#knowledge-name", name)
    page.keyboard.press("Enter")
    row = page.locator(ROW, has_text=name)
    row.wait_for()
    with page.expect_file_chooser() as chosen:
        row.get_by_text("Add files").click()
    chosen.value.set_files([tmp_path / "notes.txt"])
    _read(page, name, "1 document ")
    row.locator("summary", has_text="Files").click()
    row.locator("li", has_text="notes.txt").wait_for()
    _shot(page, "knowledge-files")
    row.get_by_label("Remove notes.txt").click()
    _read(page, name, "0 documents")
    page.once("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button", name=f"Remove: {name}").click()
    row.wait_for(state="detached")
