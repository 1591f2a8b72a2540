"""Functions that do what a person does on the page."""

from __future__ import annotations

import json
import re
import time
from typing import Any

NEWEST = ".message.assistant.newest:not(.living)"


def started(page: Any) -> None:
    """Wait until the page is drawn and its forms answer."""
    page.wait_for_selector("body.started")
    page.wait_for_selector("#drawer .refresh-marker", state="attached")


def new_chat(page: Any) -> None:
    """Begin a new chat."""
    page.click("#new-chat")
    page.wait_for_selector("#chat.empty .chip")


def send(page: Any, text: str) -> None:
    """Write a message, press Enter, and wait until the message is in the chat."""
    page.fill("#chat-input textarea", text)
    count = page.locator(".message.user").count()
    page.press("#chat-input textarea", "Enter")
    page.wait_for_function("count => document.querySelectorAll('.message.user').length > count", arg=count)


def ask(page: Any, text: str) -> str:
    """Send a message and return the text of the complete reply."""
    count = page.locator(".message.assistant").count()
    send(page, text)
    page.wait_for_function(
        "count => document.querySelectorAll('.message.assistant:not(.living)').length > count", arg=count
    )
    drawn(page)
    return newest(page)


def newest(page: Any) -> str:
    """Return the text of the last message once it is complete."""
    return str(page.locator(f"{NEWEST} .message-body").inner_text())


def living(page: Any, words: int = 3) -> None:
    """Wait until the running reply has some words."""
    page.wait_for_function(
        "words => (document.querySelector('.message.living .message-body')?.innerText.trim().split(/\\s+/).length ?? 0)"
        " >= words",
        arg=words,
    )


def settled(page: Any) -> None:
    """Wait until no reply is being written."""
    page.wait_for_selector(NEWEST)
    page.wait_for_selector(".message.living", state="detached")
    drawn(page)


def action(page: Any, message: str, name: str) -> None:
    """Press one of the buttons of the message with the selector `message`, in the menu where small screens have it."""
    page.hover(message)
    more = page.locator(message).locator(".tools > .more-tools")
    if more.is_visible() and page.locator(message).locator(f'.seldom[aria-label="{name}"]').count():
        more.click()
        page.get_by_role("menuitem", name=name).click()
        return
    page.locator(message).get_by_role("button", name=name, exact=True).click()


def open_tab(page: Any, name: str) -> None:
    """Open the drawer on this tab, and wait until its forms are up to date."""
    begun = time.monotonic_ns()
    if not page.evaluate("document.body.classList.contains('drawer-open')"):
        page.click("#open-drawer")
        page.get_by_role("tab", name=name, exact=True).click()
        shows(page, f"#tab-{name.lower()}", begun)
    else:
        page.get_by_role("tab", name=name, exact=True).click()
        page.wait_for_selector(f"#tab-{name.lower()}", state="visible")


def unfold(page: Any, title: str) -> None:
    """Open a fold of the drawer and wait until it is drawn. Gradio creates its fields then, and fills them later."""
    button = page.locator("#drawer .fold > button", has_text=re.compile(rf"^\s*{title}")).first
    button.click()
    button.locator("..").locator(":is(input, textarea, p):visible").first.wait_for()
    drawn(page)


def drawn(page: Any) -> None:
    """Wait for two frames. Until it is drawn again, a message that is no longer the newest has no visible text."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def shows(page: Any, part: str, since: int) -> None:
    """Wait until this part of the page was updated after `since` (time.monotonic_ns)."""
    page.wait_for_function(
        "([part, since]) => BigInt(document.querySelector(`${part} .refresh-marker`)?.dataset.at ?? 0) > BigInt(since)",
        arg=[part, str(since)],
    )
    answered(page)


def answered(page: Any) -> None:
    """Wait until no form waits for an answer, because a late one would show old values."""
    page.wait_for_selector("body:not(.waiting-for-host)")


def ready(page: Any, model: str = "") -> None:
    """Wait until a model, or this model, is loaded. Works while the page reloads."""
    page.wait_for_function(
        "model => { const pill = document.querySelector('#model-pill');"
        " return pill?.dataset.phase === 'ready' && pill.innerText.startsWith(model); }",
        arg=model,
    )


def call(page: Any, path: str, body: dict[str, Any]) -> Any:
    """Post to one of the page's routes."""
    return page.evaluate(
        "([path, body]) => { const headers = { 'Content-Type': 'application/json' };"
        " return fetch(`paddock${path}`, { method: 'POST', headers, body }).then((answer) => answer.json()); }",
        [path, json.dumps(body)],
    )
