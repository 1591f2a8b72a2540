"""Choices of dropdowns in other languages: the page's own words are translated, and names are not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import Served
from tests.browser.driver import ready, shows

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
