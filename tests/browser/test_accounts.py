"""Logging in, chatting and logging out in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules.settings.accounts import Accounts
from tests.browser.conftest import Served
from tests.browser.driver import ask, started

PASSWORD = "correct horse"


def _log_in(page: Any, name: str, password: str = PASSWORD) -> None:
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")


def test_people_log_in_chat_and_log_out(own_paddock: Callable[..., Served], browser: Any, tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "user_data" / "users.yaml", tmp_path / "user_data" / "users")
    accounts.add("anna", PASSWORD, "user")
    accounts.add("cora", PASSWORD, "admin")
    served = own_paddock("--model", "small")
    context = browser.new_context()
    context.set_default_timeout(60_000)
    page, errors = context.new_page(), []
    page.on(
        "console",
        lambda message: errors.append(f"{message.text} {message.location}") if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(served.address)
    _log_in(page, "anna")
    started(page)
    assert ask(page, "good morning") == "good morning"
    assert page.text_content(".account span") == "anna"
    # A person without the role admin sees no door that stays shut.
    assert page.locator("[data-view=workshop]").count() == 0
    page.click("#open-drawer")
    tabs = page.locator("#drawer-tabs [role=tab]").all_inner_texts()
    assert [tab.strip() for tab in tabs] == ["Parameters", "Session"]
    page.click("#close-drawer")
    page.click(".account button")
    page.wait_for_selector("input[name=password]")
    assert errors == []
    _log_in(page, "wrong")
    page.wait_for_selector("[role=alert] >> text=The name or the password is wrong.")
    _log_in(page, "cora")
    started(page)
    assert page.text_content(".account span") == "cora"
    assert page.locator("[data-view=workshop]").count() == 1
    assert page.locator("#chat-list >> text=good morning").count() == 0
    assert [error for error in errors if "status of 401" not in error] == []
    context.close()
