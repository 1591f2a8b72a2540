"""One extension for each hook, in a real browser: its effect is visible on the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from modules.plugins.folders import discover
from tests.browser.conftest import Served, prepare
from tests.browser.driver import NEWEST, action, answered, ask, new_chat, newest, open_tab, started
from tests.plugins.conftest import write_extension

pytestmark = pytest.mark.browser

# Each reacts to a different word, so that all can be enabled at once.
CODE = {
    "setup": "done = []\ndef setup():\n    done.append(1)\ndef api_routes():\n    return {'GET done': lambda r: done}",
    "ui": """
        import gradio as gr
        def ui():
            box = gr.Textbox(label="Panel", elem_id="panel-box", interactive=True)
            gr.Button("Fill", elem_id="panel-fill").click(lambda: "filled", None, box)
            gr.Button("Leave", elem_id="panel-leave").click(exit)
        """,
    "tab": """
        import gradio as gr
        params = {"display_name": "My view", "is_tab": True}
        def ui():
            gr.Markdown("On a separate view", elem_id="own-view")
        """,
    "custom_css": "def custom_css():\n    return '.message-body { letter-spacing: 3px }'",
    "custom_js": "def custom_js():\n    return 'window.fromExtension = extensions.id + main_parent.tagName'",
    "history_modifier": """
        seen = []
        def history_modifier(history):
            seen[:] = [len(history["visible"])]
        def api_routes():
            return {"GET seen": lambda request: seen}
        """,
    "state_modifier": """
        def state_modifier(state):
            if any("short" in pair[0] for pair in state["history"]["visible"]):
                state["max_new_tokens"] = 2
        """,
    "chat_input_modifier": """
        def chat_input_modifier(text, visible_text):
            return text.replace("both", "inner"), visible_text.replace("both", "outer")
        """,
    "input_modifier": "def input_modifier(string):\n    return string.replace('2d6', '7')",
    "custom_generate_chat_prompt": """
        def custom_generate_chat_prompt(user_input):
            return "own prompt" if "promptly" in user_input else None
        """,
    "bot_prefix_modifier": """
        def bot_prefix_modifier(string, state):
            return string + ("Aye: " if any("sailor" in pair[0] for pair in state["history"]["visible"]) else "")
        """,
    "custom_tokenized_length": """
        def custom_tokenized_length(prompt):
            return 9999 if prompt.count("heavy") > 2 else None
        """,
    "custom_generate_reply": """
        def custom_generate_reply(question, original_question):
            return "No model said this." if "no model" in original_question else None
        """,
    "stream_modifier": """
        def stream_modifier(text, final):
            end = len(text) if final else text.rfind(" ") + 1
            return text[:end].replace("colour", "color"), text[end:]
        """,
    "output_modifier": "def output_modifier(string):\n    return string.replace('quiet', 'LOUD')",
    "tools": "def tools():\n    return [{'name': 'add', 'call': lambda a, b: a + b}]",
    "api_routes": "def api_routes():\n    return {'GET hello': lambda request: {'hello': request.query['who']}}",
    "service": """
        def input_modifier(string):
            if "unreachable" in string:
                raise ConnectionError("the service is gone")
            if "faulty" in string:
                raise ValueError("a mistake")
        """,
    "rows": """
        import gradio as gr
        def ui():
            with gr.Row():
                gr.Textbox(label="Left", elem_id="left-box")
                gr.Textbox(label="Right", elem_id="right-box")
        """,
    "teardown": """
        def setup(host):
            host.data.mkdir(parents=True, exist_ok=True)
        def teardown(host):
            (host.data / "over").write_text("yes")
        """,
}


@pytest.fixture(scope="module")
def extended(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start a Paddock with all of them enabled, and one more that has no consent."""
    folder = prepare(tmp_path_factory.mktemp("extended"))
    root = folder / "user_data" / "extensions"
    for name, code in CODE.items():
        write_extension(root, name, code)
    agreed = {name: entry.sha256 for name, entry in discover([root]).items()}
    write_extension(root, "newcomer", "def output_modifier(string):\n    return string.replace('before', 'after')")
    kept = {"enabled": list(CODE), "consent": agreed}
    (folder / "user_data" / "extensions.yaml").write_text(yaml.safe_dump(kept))
    served = Served(folder, "--model", "small")
    served.wait()
    yield served
    served.close()
    assert (folder / "user_data" / "extension_data" / "teardown" / "over").read_text() == "yes"


def fetched(page: Any, path: str, body: str = "") -> Any:
    """Return the answer of a route to the page."""
    script = "([path, body]) => fetch(path, body ? {method: 'POST', body} : {}).then((answer) => answer.json())"
    return page.evaluate(script, [path, body])


def test_page_hooks_take_effect(extended: Served, visit: Any) -> None:
    page = visit(extended.address)
    page.wait_for_function("window.fromExtension === 'extensionsDIV'")
    page.click("#panel-fill")
    page.wait_for_function("document.querySelector('#panel-box :is(input, textarea)').value === 'filled'")
    page.get_by_role("button", name="My view", exact=True).click()
    page.wait_for_selector("#own-view", state="visible")
    assert not page.is_visible("#chat-input textarea")
    page.get_by_role("button", name="Chat", exact=True).click()
    page.wait_for_selector("#own-view", state="hidden")
    assert fetched(page, "/extensions/setup/done") == [1]
    assert fetched(page, "/extensions/api_routes/hello?who=you") == {"hello": "you"}
    assert fetched(page, "/extensions/tools/tools/add", '{"a": 2, "b": 3}') == 5


def test_a_toast_does_not_cover_the_composer_above_a_panel(extended: Served, visit: Any) -> None:
    page = visit(extended.address)
    new_chat(page)
    ask(page, "Copy this")
    page.wait_for_selector("#panel-box")
    action(page, NEWEST, "Copy")
    page.wait_for_selector("#toasts .toast")
    page.wait_for_function(
        "document.querySelector('#toasts').getBoundingClientRect().bottom"
        " < document.querySelector('#composer').getBoundingClientRect().top"
    )


def test_turn_hooks_take_effect(extended: Served, visit: Any) -> None:
    page = visit(extended.address)
    new_chat(page)
    assert ask(page, "I roll 2d6") == "I roll 7"
    assert page.locator(".message.user .message-body").last.inner_text() == "I roll 2d6"
    assert page.evaluate("getComputedStyle(document.querySelector('.message-body')).letterSpacing") == "3px"
    assert fetched(page, "/extensions/history_modifier/seen") == [0]
    assert ask(page, "for both of us") == "for inner of us"
    assert page.locator(".message.user .message-body").last.inner_text() == "for outer of us"
    assert fetched(page, "/extensions/history_modifier/seen") == [1]
    assert ask(page, "answer promptly please") == "own prompt"
    assert ask(page, "answer with no model") == "No model said this."
    assert ask(page, "the colour of a colour") == "the color of a color"
    assert ask(page, "a quiet word") == "a LOUD word"
    ask(page, "heavy heavy heavy")
    page.wait_for_selector(".message-note:has-text('did not fit into the context')")


def test_hooks_can_read_the_history(extended: Served, visit: Any) -> None:
    page = visit(extended.address)
    new_chat(page)
    ask(page, "hello sailor")
    assert ask(page, "which way").startswith("Aye: ")
    new_chat(page)
    ask(page, "keep it short")
    assert ask(page, "one two three four") == "one two"


def test_an_event_that_calls_exit_does_not_end_paddock(extended: Served, visit: Any) -> None:
    page = visit(extended.address)
    page.click("#panel-leave")
    page.wait_for_selector(".toast-wrap:has-text('Paddock keeps running')")
    assert fetched(page, "/extensions/setup/done") == [1]


def test_a_page_that_is_built_again_restores_its_view(extended: Served, visit: Any) -> None:
    page = visit(extended.address)
    page.click("[data-view=notebook]")
    open_tab(page, "Extensions")
    for switch, then in (("off", "on"), ("on", "off")):
        with page.expect_navigation():
            page.click(f"#extension-{switch}-custom_css")
        started(page)
        page.wait_for_selector("body.drawer-open[data-view=notebook]")
        page.wait_for_selector(f"#extension-{then}-custom_css")


def test_buttons_are_one_line_high_and_fields_in_a_row_have_a_gap(extended: Served, visit: Any) -> None:
    page = visit(extended.address)
    left, right = page.locator("#left-box").bounding_box(), page.locator("#right-box").bounding_box()
    assert right["x"] - (left["x"] + left["width"]) >= 8
    open_tab(page, "Extensions")
    agree = page.locator("#extension-agree-newcomer")
    agree.scroll_into_view_if_needed()
    assert agree.bounding_box()["height"] < 50


def test_typed_text_survives_when_the_page_is_built_again(extended: Served, visit: Any) -> None:
    page = visit(extended.address)
    page.fill("#panel-box textarea", "typed in a panel")
    open_tab(page, "Session")
    page.fill("#session-system textarea", "typed in a form")
    open_tab(page, "Extensions")
    page.fill("#chat-input textarea", "typed to be sent")
    page.evaluate("document.querySelector('#chat-input textarea').setSelectionRange(6, 8)")
    other = visit(extended.address)
    open_tab(other, "Extensions")
    with page.expect_navigation(), other.expect_navigation():
        other.click("#extension-off-custom_css")
    started(other)
    page.wait_for_function(
        "document.activeElement?.matches('#chat-input textarea') && document.activeElement.selectionStart === 6"
    )
    assert page.input_value("#chat-input textarea") == "typed to be sent"
    assert page.input_value("#panel-box textarea") == "typed in a panel"
    page.wait_for_selector("body.drawer-open #tab-extensions", state="visible")
    assert page.input_value("#session-system textarea") == "typed in a form"
    open_tab(page, "Session")
    page.fill("#session-system textarea", "")
    page.press("#session-system textarea", "Tab")
    answered(page)
    # A context that is closed while one of its pages loads may never be closed.
    with page.expect_navigation(), other.expect_navigation():
        other.click("#extension-on-custom_css")


def test_a_new_extension_is_allowed_switched_on_and_off(extended: Served, visit: Any) -> None:
    page = visit(extended.address)
    new_chat(page)
    open_tab(page, "Extensions")
    page.wait_for_selector("#extension-row-newcomer:has-text('not run here before')")
    page.click("#extension-agree-newcomer")
    page.click("#extension-receipts input")
    page.wait_for_selector("#extension-off-newcomer")
    page.click("#close-drawer")
    assert ask(page, "before it") == "after it"
    page.click(".message.assistant.newest .receipt summary")
    assert "newcomer: output_modifier" in page.locator(".receipt").last.inner_text()
    open_tab(page, "Extensions")
    page.click("#extension-off-newcomer")
    page.wait_for_selector("#extension-on-newcomer")
    page.click("#close-drawer")
    ask(page, "before it")
    assert newest(page) == "before it"


def test_a_failed_hook_offers_a_retry_and_its_open_card_is_updated(extended: Served, visit: Any) -> None:
    page = visit(extended.address)
    new_chat(page)
    open_tab(page, "Extensions")
    page.wait_for_selector("#extension-off-service")
    assert ask(page, "unreachable") == ""
    page.wait_for_selector("#extension-row-service .warning:has-text('could not do its part')")
    assert "On." in page.locator("#extension-row-service .state").inner_text()
    again = page.locator(f"{NEWEST} .reply-error button", has_text="Try again")
    again.click()
    page.wait_for_selector(f"{NEWEST} .versions")
    assert "the service is gone" in page.locator(f"{NEWEST} .reply-error").inner_text()
    assert ask(page, "good day") == "good day"
    page.wait_for_selector("#extension-row-service .warning", state="detached")
    assert ask(page, "faulty") == "faulty"
    page.wait_for_selector("#extension-row-service .state[data-state=failed]")
    page.click("#extension-on-service")
    page.wait_for_selector("#extension-off-service")
