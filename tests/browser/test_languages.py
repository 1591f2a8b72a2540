"""Other languages: the page's own words are translated, in dropdowns and in messages; names and texts are not."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.browser.conftest import Served
from tests.browser.driver import NEWEST, new_chat, ready, send, settled, shows

pytestmark = pytest.mark.browser
# A name that is also a text of the page.
NAME = "Files"
# What is drawn, which is not what scripts read there.
DRAWN = """(selector) => {
    const input = document.querySelector(selector);
    return Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").get.call(input);
}"""


@pytest.fixture(scope="module")
def named(paddock: Served) -> Iterator[Served]:
    """Give the shared Paddock a preset with the name."""
    preset = paddock.user_data / "presets" / f"{NAME}.yaml"
    preset.parent.mkdir(parents=True, exist_ok=True)
    preset.write_text("temperature: 0.5\n")
    yield paddock
    preset.unlink()


def open_tab(page: Any, tab: str) -> None:
    """Open the drawer on a tab, whose name depends on the language."""
    begun = time.monotonic_ns()
    page.evaluate("paddock.shell.toggleDrawer(false)")
    page.evaluate("tab => paddock.shell.openTab(tab)", tab)
    shows(page, f"#tab-{tab}", begun)


def options(page: Any, field: str) -> list[str]:
    """Return the choices of a dropdown, and close it."""
    page.locator(f"{field} input").click()
    page.wait_for_selector(f"{field} [role=option]")
    found = page.locator(f"{field} [role=option]").all_inner_texts()
    page.keyboard.press("Escape")
    return [text.replace("✓", "").strip() for text in found]


@pytest.mark.parametrize(
    ("locale", "automatic", "nobody"), [("de-DE", "Wie der Browser", "Keiner"), ("ar", "كما يطلب المتصفح", "لا شيء")]
)
def test_own_words_are_translated_in_the_field_and_in_the_list(
    named: Served, visit: Any, locale: str, automatic: str, nobody: str
) -> None:
    page = visit(named.address, locale=locale)
    ready(page)
    open_tab(page, "session")
    for field, words in (("#session-language", automatic), ("#session-character", nobody)):
        assert page.evaluate(DRAWN, f"{field} input") == words
        assert options(page, field)[0] == words
    # The arrow stands at the end of the words.
    arrow, words = (page.locator(f"#session-language {one}").bounding_box() for one in (".icon-wrap", "input"))
    assert (arrow["x"] < words["x"] + words["width"] / 2) is (locale == "ar")
    # Forms read the value that they wrote.
    assert page.evaluate("document.querySelector('#session-character input').value") == "None"


def test_names_stay_as_they_are(named: Served, visit: Any) -> None:
    page = visit(named.address, locale="de-DE")
    ready(page)
    known = "fetch('paddock/static/locales/de.json').then((a) => a.json()).then((a) => a.Files)"
    assert page.evaluate(known) == "Dateien"
    open_tab(page, "parameters")
    page.locator("#preset input").click()
    page.get_by_role("option", name=NAME, exact=True).click()
    page.wait_for_function("document.querySelector('#param-temperature input[type=number]')?.value === '0.5'")
    assert page.evaluate(DRAWN, "#preset input") == NAME
    page.locator("#preset input").click()
    page.get_by_role("option", name="Neutral", exact=True).click()
    page.wait_for_function("document.querySelector('#param-temperature input[type=number]')?.value === '1'")


def test_a_choice_that_the_host_makes_is_translated(named: Served, visit: Any) -> None:
    page = visit(named.address, locale="de-DE")
    ready(page)
    open_tab(page, "session")
    page.locator("#session-character input").fill("x")
    assert page.evaluate(DRAWN, "#session-character input") == "x"
    open_tab(page, "session")
    page.wait_for_function(f"({DRAWN})('#session-character input') === 'Keiner'")


# Texts of the page as a model may write them too: its own stay as they are.
WRITTEN = f"""{NAME}

> [!WARNING]
> Copy

`Wrap`, a note[^1] and ![]({"https://a.example/x.png"})

```python
Copy
```

[^1]: Result
"""


class _Words(NamedTuple):
    locale: str
    thought: str
    asks: str
    called: str
    arguments: str
    result: str
    alert: str
    code: list[str]
    back: str
    image: str


GERMAN = _Words(
    locale="de-DE",
    thought=r"\d+(\.\d)? s nachgedacht · \d+ Token",
    asks="Das Modell möchte calculate von Paddock aufrufen.",
    called="calculate aufgerufen",
    arguments="expression\nFiles + 1",
    result="Ergebnis",
    alert="Warnung",
    code=["Umbrechen", "Herunterladen", "Kopieren"],
    back="Zurück zum Text",
    image="🖼 Bild",
)
ARABIC = _Words(
    locale="ar",
    thought=r"فكّر لمدة \d+(\.\d)? s · \d+ رمز",
    asks="يريد النموذج استدعاء calculate من Paddock.",
    called="استُدعي calculate",
    arguments="expression\nFiles + 1",
    result="النتيجة",
    alert="تحذير",
    code=["لف الأسطر", "تنزيل", "نسخ"],
    back="العودة إلى النص",
    image="🖼 صورة",
)


@pytest.fixture(params=[GERMAN, ARABIC], ids=lambda words: words.locale)
def spoken(paddock: Served, visit: Any, request: pytest.FixtureRequest) -> tuple[Any, _Words]:
    """Return a page with a new chat, and its language."""
    page = visit(paddock.address, locale=request.param.locale)
    ready(page)
    new_chat(page)
    return page, request.param


def test_paddocks_words_in_a_reply_are_translated_and_the_models_are_not(spoken: tuple[Any, _Words]) -> None:
    page, words = spoken
    send(page, f"<think> {NAME} </think> {NAME}")
    settled(page)
    fold = page.locator(f"{NEWEST} .thinking")
    assert re.fullmatch(words.thought, fold.locator("summary").inner_text())
    assert fold.locator(".part").text_content().strip() == NAME
    assert page.locator(f"{NEWEST} .message-body > .part").inner_text() == NAME
    # The first words of the model decide the direction, not those of the fold.
    assert page.locator(f"{NEWEST} .message-body").evaluate("body => getComputedStyle(body).direction") == "ltr"

    page.hover(NEWEST)
    page.click(f"{NEWEST} .tools [data-icon=edit]")
    page.fill(".edit-area", WRITTEN)
    page.click(".edit-form [type=submit]")
    reply = page.locator(NEWEST)
    reply.locator(".code").wait_for()
    assert reply.locator(".markdown-alert-title").inner_text() == words.alert
    assert reply.locator(".code-head button:visible").all_inner_texts() == words.code
    assert reply.locator(".footnote-backref").get_attribute("aria-label") == words.back
    assert reply.locator(".message-body > .part > p > a").inner_text() == words.image
    own = [
        reply.locator(one).inner_text()
        for one in (".message-body > .part > p >> nth=0", ".markdown-alert > p >> nth=1", "pre")
    ]
    assert [text.strip() for text in own] == [NAME, "Copy", "Copy"]
    assert reply.locator(".footnotes").inner_text().startswith("Result")


def test_a_call_of_a_tool_is_translated_and_its_arguments_are_not(spoken: tuple[Any, _Words]) -> None:
    page, words = spoken
    send(page, "hello")
    settled(page)
    page.click("#open-tools")
    box = page.get_by_role("checkbox", name="calculate", exact=True)
    box.check()
    page.keyboard.press("Escape")
    page.wait_for_selector("#tools-panel", state="hidden")
    call = {"name": "calculate", "arguments": {"expression": f"{NAME} + 1"}}
    send(page, f"<tool_call>{json.dumps(call)}</tool_call>")
    asks = page.locator(".message.living .tool-call.asks")
    assert asks.locator("[role=alert]").inner_text() == words.asks
    assert asks.locator("dl").inner_text() == words.arguments
    asks.get_by_role("button").last.click()
    settled(page)
    assert page.locator(f"{NEWEST} .tool-call dd").text_content() == f"{NAME} + 1"
