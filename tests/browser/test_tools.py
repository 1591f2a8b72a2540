"""Tools on the page: switched on per chat, asked for, run, folded, kept; by keyboard too."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browser.driver import NEWEST, action, new_chat, ready, send, settled, started
from tests.conftest import ROOT

pytestmark = pytest.mark.browser
ASKS = ".message.living .tool-call.asks"
FOLD = f"{NEWEST} details.tool-call"


def call(name: str, **arguments: Any) -> str:
    """Return a call as models write it. The echo loader repeats it."""
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


@pytest.fixture(params=[1280, 390])
def page(paddock: Any, visit: Any, request: pytest.FixtureRequest) -> Any:
    """Return a page with a new chat, at the width of a desktop and of a phone."""
    page = visit(paddock.address, width=request.param, height=844)
    ready(page)
    if request.param == 1280:
        new_chat(page)
    else:
        page.click("#open-sidebar")
        new_chat(page)
    # The chat exists from its first message on, so that its tools are its own.
    send(page, "hello")
    settled(page)
    return page


def switch_on(page: Any, name: str) -> None:
    """Switch a tool on with the keyboard alone."""
    page.focus("#open-tools")
    page.keyboard.press("Enter")
    box = page.get_by_role("checkbox", name=name, exact=True)
    box.focus()
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('#open-tools').getAttribute('aria-label').includes('on')")
    assert box.is_checked()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.keyboard.press("Escape")
    page.wait_for_selector("#tools-panel", state="hidden")


def test_a_call_asks_runs_and_is_folded_with_its_result(page: Any) -> None:
    switch_on(page, "calculate")
    send(page, call("calculate", expression="6*7"))
    page.wait_for_selector(ASKS)
    assert page.inner_text(f"{ASKS} [role=alert]") == "The model wants to call calculate from Paddock."
    assert page.inner_text(f"{ASKS} dd") == "6*7"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # With the keyboard: from the field for writing back to the buttons of the question.
    page.get_by_role("button", name="Allow in this chat").focus()
    page.keyboard.press("Enter")
    settled(page)
    assert page.inner_text(f"{FOLD} summary") == "Called calculate"
    assert not page.is_visible(f"{FOLD} .tool-result")
    page.locator(f"{FOLD} summary").click()
    assert page.inner_text(f"{FOLD} .tool-result") == "42"
    # It is allowed in this chat now, and asks again when the user wants that.
    send(page, call("calculate", expression="1/0"))
    settled(page)
    assert page.inner_text(f"{FOLD} summary") == "calculate failed"
    page.click("#open-tools")
    page.get_by_role("button", name="Ask again before calculate runs").click()
    page.wait_for_selector("#tools-panel .allowed", state="detached")
    page.keyboard.press("Escape")
    send(page, call("calculate", expression="2+2"))
    page.wait_for_selector(ASKS)
    page.reload()
    started(page)
    page.wait_for_selector(ASKS)
    page.get_by_role("button", name="Do not allow").click()
    settled(page)
    assert page.inner_text(f"{FOLD} summary") == "calculate was not allowed"
    page.reload()
    started(page)
    page.wait_for_selector(FOLD)
    assert page.inner_text(f"{FOLD} summary") == "calculate was not allowed"


def test_several_calls_ask_at_once_and_stop_ends_them(page: Any) -> None:
    switch_on(page, "calculate")
    send(page, f"{call('calculate', expression='1+1')} {call('calculate', expression='<b>2</b>')}")
    page.wait_for_function(f"document.querySelectorAll('{ASKS}').length === 2")
    assert page.locator(f"{ASKS} dd").nth(1).inner_text() == "<b>2</b>"
    page.locator(ASKS).first.get_by_role("button", name="Allow once").click()
    page.wait_for_selector(".message.living details.tool-call.ok")
    page.wait_for_function(f"document.querySelectorAll('{ASKS}').length === 1")
    page.click("#stop")
    settled(page)
    assert page.locator(f"{FOLD} summary").all_inner_texts() == ["Called calculate", "calculate was stopped"]
    action(page, NEWEST, "Regenerate")
    page.wait_for_function(f"document.querySelectorAll('{ASKS}').length === 2")
    page.locator(ASKS).first.get_by_role("button", name="Allow in this chat").click()
    settled(page)
    # A slow call has its seconds beside it.
    headings = [text.partition(" · ")[0] for text in page.locator(f"{FOLD} summary").all_inner_texts()]
    assert headings == ["Called calculate", "calculate failed"]
    page.locator(f"{FOLD} summary").nth(1).click()
    assert "no arithmetic" in page.inner_text(f"{FOLD}:nth-of-type(2) .tool-result")


def test_servers_are_shown_with_their_state_and_their_tools_run(own_paddock: Any, visit: Any, tmp_path: Path) -> None:
    support = ROOT / "tests" / "support"
    servers = {
        "sums": {"command": sys.executable, "args": [str(support / "mcp_server.py"), "stdio"]},
        "broken": {"command": sys.executable, "args": [str(support / "bad_mcp_server.py"), "crashes"]},
        "wrong": {"command": 5},
    }
    (tmp_path / "user_data" / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    page = visit(own_paddock("--model", "small").address)
    ready(page)
    page.click("#open-tools")
    page.wait_for_selector(".tool-source[data-state=failed] >> text=The config file is missing")
    page.wait_for_selector(".tool-source[data-state=failed] >> text=It needs either")
    page.get_by_role("checkbox", name="add", exact=True).check()
    page.wait_for_selector("#open-tools[aria-label='Tools: 1 on']", state="attached")
    page.get_by_role("button", name="Start again").click()
    page.wait_for_selector(".tool-source[data-state=ready] >> text=Add two whole numbers.")
    page.keyboard.press("Escape")
    # What is on for new chats is on in this one.
    send(page, call("add", a=2, b=40))
    page.wait_for_selector(f"{ASKS} >> text=from sums")
    page.get_by_role("button", name="Allow once").click()
    settled(page)
    page.locator(f"{FOLD} summary").click()
    assert page.inner_text(f"{FOLD} .tool-result") == "42"
