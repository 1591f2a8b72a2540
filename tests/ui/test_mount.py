"""The page is drawn again, in parts and as a whole, while it answers requests."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from modules.app import App
from modules.ui.mount import PageHost
from tests.plugins.conftest import PATIENCE, Talk, talk
from tests.support.page import OpenPage, function_of
from tests.support.server import serving

# Whole servers.
pytestmark = pytest.mark.slow

__all__ = ["talk"]

PANEL = "import gradio as gr\ndef ui():\n    gr.Button('Fill').click(lambda: 'filled', None, gr.Textbox(label='Panel'))"
PLAIN = "def output_modifier(string):\n    return string"
EARLIER = "extension-earlier-steady"


@pytest.fixture
def address(talk: Talk) -> Iterator[str]:
    """Return the address of a server with one extension, which draws nothing."""
    talk.add("steady", PLAIN)
    with serving(talk.app, PageHost) as address:
        yield address


def drawings(page: OpenPage) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return the parts that requests draw, by a component in them: the function and its components."""
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for function in page.on_load():
        drawn = page.call(function).raise_for_status().json()["render_config"]
        if drawn:
            found |= {
                entry["props"]["elem_id"]: (function, drawn)
                for entry in drawn["components"]
                if "elem_id" in entry["props"]
            }
    return found


def test_a_button_of_an_earlier_drawing_still_works(address: str) -> None:
    with OpenPage(address) as page:
        draw, first = drawings(page)[EARLIER]
        second = page.call(draw).raise_for_status().json()["render_config"]
        shown = {entry["id"] for entry in second["dependencies"]}
        assert function_of(first, EARLIER)["id"] not in shown and function_of(second, EARLIER)["id"] in shown
        assert page.join(function_of(first, EARLIER)).status_code == 200
        assert page.join(function_of(second, EARLIER)).status_code == 200


def test_a_button_of_a_much_earlier_drawing_is_refused_with_a_sentence(
    address: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with OpenPage(address) as page:
        draw, first = drawings(page)[EARLIER]
        for _ in range(10):
            page.call(draw).raise_for_status()
        answer = page.join(function_of(first, EARLIER))
    assert answer.status_code == 410 and "press the button again" in answer.json()["detail"]
    assert "Traceback" not in "".join(capfd.readouterr())


def test_no_event_lets_the_browser_search_for_its_outputs(address: str) -> None:
    with OpenPage(address) as page:
        events = page.config["dependencies"] + drawings(page)[EARLIER][1]["dependencies"]
    hidden = [entry for entry in events if entry["show_progress"] == "hidden"]
    assert len(hidden) > 40
    assert [entry["show_progress_on"] for entry in hidden] == [[]] * len(hidden)


def rebuilt(app: App, act: Any) -> None:
    """Do something that leads to a new build of the page, and wait for it."""
    before, built = app.page_build, threading.Event()
    end = app.supervisor.state_store.subscribe(lambda state: built.set() if app.page_build != before else None)
    act()
    assert built.wait(PATIENCE)
    end()


def test_requests_are_answered_while_pages_are_drawn_and_built_again(
    address: str, talk: Talk, capfd: pytest.CaptureFixture[str]
) -> None:
    over, wrong, lock = threading.Event(), [], threading.Lock()
    answered = 0

    def look(answer: Any) -> Any:
        nonlocal answered
        with lock:
            answered += 1
            if answer.status_code != 200:
                wrong.append((answer.status_code, answer.text[:300]))
        return answer

    def visit() -> None:
        while not over.is_set():
            with OpenPage(address) as page, ThreadPoolExecutor(4) as browser:
                known = drawings(page)
                draw, first = known[EARLIER]
                numbers = {function["id"]: function for function, _ in known.values()}
                again = [browser.submit(page.call, function) for function in numbers.values() for _ in range(2)]
                clicks = [browser.submit(page.join, function_of(first, EARLIER)) for _ in range(2)]
                for future in (*again, *clicks):
                    look(future.result())

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(2) as visitors:
            visits = [visitors.submit(visit) for _ in range(2)]
            try:
                rebuilt(talk.app, lambda: talk.add("panel", PANEL))
                for _ in range(3):
                    rebuilt(talk.app, lambda: talk.manager.disable("panel"))
                    rebuilt(talk.app, lambda: talk.manager.enable("panel"))
            finally:
                over.set()
            for visitor in visits:
                visitor.result()
    finally:
        sys.setswitchinterval(before)
    assert answered > 20 and not wrong, wrong
    assert "Traceback" not in "".join(capfd.readouterr())
