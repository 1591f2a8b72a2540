"""What replies look like, and the mark where a long chat is cut: at the width of a desktop and of a phone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Served, prepare
from tests.browser.driver import NEWEST, action, ask, new_chat, open_tab, ready, settled, started

pytestmark = pytest.mark.browser
WIDTHS = (1280, 390)
LINE = "x = " + " + ".join(f"value_{number}" for number in range(40))
TEXT = f"""\
- [ ] buy hay
- [x] feed

> [!WARNING]
> Mind the gap.

A note[^1], an address https://a.example/x and a price of $5 to $10, where $x^2$ is a formula.

| {" | ".join(f"a rather wide column {number}" for number in range(16))} |
|{"---|" * 16}
| {" | ".join("value" for _ in range(16))} |

```python
{LINE}
```

{"A paragraph that makes the reply long. " * 70}

[^1]: The note below.
"""
OVERFLOWS = "element => element.scrollWidth > element.clientWidth"


@pytest.fixture(params=WIDTHS)
def page(paddock: Any, visit: Any, request: pytest.FixtureRequest) -> Any:
    """Return a page with a new chat whose reply has TEXT."""
    page = visit(paddock.address, width=request.param, height=844)
    ready(page)
    if request.param == 1280:
        new_chat(page)
    ask(page, "hello")
    action(page, NEWEST, "Edit")
    page.fill(".edit-area", TEXT)
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_selector(f"{NEWEST} .code")
    return page


def test_a_reply_shows_githubs_markdown_and_its_buttons_work_from_the_keyboard(page: Any, tmp_path: Path) -> None:
    reply = page.locator(NEWEST)
    assert reply.get_by_role("checkbox").count() == 2 and reply.get_by_role("checkbox", checked=True).count() == 1
    assert reply.locator(".markdown-alert-warning .markdown-alert-title").inner_text() == "Warning"
    assert reply.locator("math").count() == 1 and "$5 to $10" in reply.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert reply.locator(".table").evaluate(OVERFLOWS), "a wide table scrolls inside of its frame"

    reply.locator(".footnote-ref a").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.matches('li.footnote-item')")
    reply.locator(".footnote-backref").press("Enter")
    assert page.evaluate("document.activeElement.matches('.footnote-ref a')")

    code = reply.locator(".code pre")
    assert code.evaluate(OVERFLOWS)
    reply.get_by_role("button", name="Wrap", exact=True).press("Enter")
    assert not code.evaluate(OVERFLOWS)
    with page.expect_download() as download:
        reply.get_by_role("button", name="Download this code").press("Enter")
    assert download.value.suggested_filename == "code.py"
    download.value.save_as(tmp_path / "code.py")
    assert (tmp_path / "code.py").read_text() == LINE + "\n"
    page.reload()
    started(page)
    page.wait_for_selector(f"{NEWEST} .code")
    assert not reply.locator(".code pre").evaluate(OVERFLOWS), "the choice outlives the visit"
    reply.get_by_role("button", name="Unwrap", exact=True).click()

    fold = reply.get_by_role("button", name="Collapse this reply")
    before = reply.bounding_box()["height"]
    fold.press("Enter")
    assert reply.bounding_box()["height"] < before / 2
    more = reply.get_by_role("button", name="Show the whole reply")
    assert more.get_attribute("aria-expanded") == "false"
    more.press("Enter")
    assert reply.bounding_box()["height"] == before


@pytest.fixture(scope="module")
def narrow(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Start a Paddock whose model has a small context."""
    served = Served(prepare(tmp_path_factory.mktemp("narrow"), context=400, delay=0.0), "--model", "small")
    served.wait()
    yield served
    served.close()
    assert not any("Traceback" in line for line in served.lines), served.lines


@pytest.mark.parametrize("width", WIDTHS)
def test_the_chat_shows_where_it_is_cut_and_the_summary_can_be_edited(narrow: Any, visit: Any, width: int) -> None:
    page = visit(narrow.address, width=width, height=844)
    ready(page)
    if width == 1280:
        open_tab(page, "Session")
        page.get_by_label("Leave them out, and let the model summarize them").check()
        page.click("#close-drawer")
    else:
        page.evaluate("document.querySelector('#new-chat').click()")
        page.wait_for_selector("#chat.empty .chip")
    question = "word " * 30
    mark = page.locator(".cut-mark")
    for _ in range(12):
        ask(page, question)
        if mark.count():
            break
    note = mark.locator(".cut-line").inner_text()
    assert re.search(r"The prompt did not fit into the context and leaves out \d+ older messages\.", note)
    fold = mark.locator("details summary")
    fold.wait_for()
    count = int(re.findall(r"\d+", note)[0])
    assert page.locator(".cut-mark ~ .message").count() == page.locator(".message").count() - count
    fold.press("Enter")
    mark.get_by_role("button", name="Edit").press("Enter")
    area = mark.get_by_label("Summary of the messages above")
    area.fill("They said <b>word</b>.")
    area.press("Control+Enter")
    mark.locator(".summary-text >> text=They said <b>word</b>.").wait_for(state="attached")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.reload()
    started(page)
    mark.locator(".summary-text").wait_for(state="attached")
    assert mark.locator(".summary-text").text_content() == "They said <b>word</b>."
    ask(page, "and now")
    settled(page)
    mark.locator("details summary").click()
    mark.get_by_role("button", name="Remove").click()
    mark.get_by_role("button", name="Write a summary").or_(page.locator("#chat:not(:has(.cut-mark))")).first.wait_for()
