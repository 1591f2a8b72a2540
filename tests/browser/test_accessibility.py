"""axe-core's rules for WCAG 2 A and AA on the views of the page, light and dark.

axe-core is an npm package of tests/javascript. Without Node, or if it cannot be installed, these tests are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import Served
from tests.browser.driver import ask, drawn, new_chat, open_tab, ready
from tests.support.node_packages import FOLDER, install, missing_node

pytestmark = pytest.mark.browser
AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async () => {
    const { violations } = await axe.run(document, {
        runOnly: ["wcag2a", "wcag2aa"], resultTypes: ["violations"], elementRef: false });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ target, any, all, none }) =>
        [id, String(target), [...any, ...all, ...none].map(({ message }) => message).join(" | ")].join(": ")));
}"""
# A reply with what replies consist of.
REPLY = (
    "Say\n\n# A heading\n\n- a [link](https://example.org) and `code`\n\n"
    "```python\nprint('x', 1)  # why\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"
)


@pytest.fixture(scope="module")
def script() -> str:
    """Return axe-core's script."""
    if reason := missing_node() or install():
        pytest.skip(f"axe-core is not installed. {reason}")
    return AXE.read_text(encoding="utf-8")


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light")], ids=lambda one: f"{one[0]}-{one[1]}")
def page(paddock: Served, visit: Any, script: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return a page in one width and appearance, with a chat and a function `axe`."""
    width, scheme = request.param
    page = visit(paddock.address, width=width, color_scheme=scheme, reduced_motion="reduce")
    ready(page)
    # The page's policy allows no scripts from elsewhere. The browser's tools may run one.
    page.evaluate(script)
    if width < 900:
        page.click("#open-sidebar")
    new_chat(page)
    ask(page, REPLY)
    yield page


def found(page: Any, place: str) -> list[str]:
    """Return what axe-core finds in the present view.

    It looks twice: a button that becomes enabled while axe-core reads its styles has the wrong ones at first.
    """
    for _ in range(2):
        drawn(page)
        if not (problems := page.evaluate(RUN)):
            return []
    return [f"{place}: {one}" for one in problems]


def test_axe_finds_nothing(page: Any) -> None:
    problems = found(page, "chat")
    page.keyboard.press("Control+k")
    page.wait_for_selector("#palette .palette-row")
    problems += found(page, "palette")
    page.keyboard.press("Escape")
    for name in ("Parameters", "Model", "Session", "Extensions"):
        open_tab(page, name)
        problems += found(page, name)
    page.click("#close-drawer")
    for view, part in (("workshop", "#workshop :is(h2, h3)"), ("notebook", "#notebook-text")):
        page.click(f"[data-view={view}]")
        page.locator(part).first.wait_for()
        problems += found(page, view)
    assert not problems, "\n".join(problems)
