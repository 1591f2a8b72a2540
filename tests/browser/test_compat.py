"""Extensions for text-generation-webui in a real browser: components, events, styles and scripts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from modules.plugins.folders import discover
from tests.browser.conftest import Served, prepare
from tests.browser.driver import NEWEST, ask, new_chat, newest, started

pytestmark = pytest.mark.browser

CODE = {
    # Gradio 3 and 4: update, _js, Box, style, a ToolButton.
    "idioms": """
        import gradio as gr
        class ToolButton(gr.Button, gr.components.FormComponent):
            def __init__(self, **kwargs):
                super().__init__(variant="tool", **kwargs)
            def get_block_name(self):
                return "button"
        def ui():
            with gr.Box(), gr.Row().style(equal_height=True):
                box = gr.Textbox("one", label="Old", elem_id="idiom-box", show_copy_button=True)
                image = gr.Image(source="upload", tool="sketch", visible=False)
                tool = ToolButton(value="T", elem_id="idiom-tool")
            more = "(text) => text + ' from js'"
            tool.click(lambda text: gr.Textbox.update(value=text + "!"), box, box, _js=more).then(
                lambda: gr.update(value="Used", interactive=False), None, tool)
        """,
    # The chain of events of a button that generates a reply.
    "replies": """
        import gradio as gr
        from modules import chat, shared
        from modules.ui import gather_interface_values
        from modules.utils import gradio
        def ui():
            button = gr.Button("Ask for me", elem_id="ask-for-me")
            given = [shared.gradio[k] for k in shared.input_elements]
            button.click(gather_interface_values, given, shared.gradio["interface_state"]).then(
                lambda: "asked by a button", None, gradio("Chat input")).then(
                chat.generate_chat_reply_wrapper, gradio("Chat input", "interface_state"), gradio("display", "history"))
        """,
    # A script that reads fields of the page and writes to them.
    "fields": """
        import gradio as gr
        from modules import shared
        from modules.utils import gradio
        def ui():
            fields = gr.Textbox(label="Fields", elem_id="fields")
            gr.Button("Tell", elem_id="tell").click(
                lambda text, chat, history, mode: f"{text['text']}|{chat}|{len(history['visible'])}|{mode}",
                gradio("textbox", "unique_id", "history", "mode"), fields)
            typed = {"text": "typed for you", "files": []}
            gr.Button("Type", elem_id="type").click(lambda: typed, None, gradio("textbox"))
            gr.Button("Forget", elem_id="forget").click(
                lambda: {"internal": [], "visible": []}, None, gradio("history"))
            count = gr.Number(0, elem_id="sent")
            shared.gradio["Generate"].click(lambda n: n + 1, count, count)
            switched = gr.Textbox(label="Chat", elem_id="switched")
            shared.gradio["unique_id"].change(lambda chat: chat, gradio("unique_id"), switched)
            changed = gr.Number(0, elem_id="drawn")
            shared.gradio["display"].change(lambda n: n + 1, changed, changed)
            theme = gr.Textbox(label="Theme", elem_id="theme-now")
            shared.gradio["theme_state"].change(lambda now: now, gradio("theme_state"), theme)
        """,
    # The selectors and globals that styles and scripts use.
    "looks": """
        params = {"display_name": "Looks", "is_tab": False}
        SELECTORS = ["#extensions", "#chat-input textarea", "#chat", "#chat-tab", ".header_bar", "#Generate", "#stop"]
        SELECTORS += ["#chat-input-container #chat-input", ".hover-menu", "#hover-menu", "#highlight-css[href]"]
        def custom_css():
            return ".message-body { letter-spacing: 2px } } .broken {"
        def custom_js():
            absent = f"{SELECTORS!r}.filter((one) => !document.querySelector(one))"
            seen = f"{absent}, chat_tab.contains(extensions), notebook_tab.id, config.subtree"
            return f"const own = 1; window.looks = [{seen}];"
        """,
    "looks_more": """
        def custom_css():
            frame = ".header_bar { position: fixed !important; width: 100% } #chat-tab { margin-top: 50px }"
            return ".message { outline: 1px solid rgb(1, 2, 3) }" + frame
        def custom_js():
            return "window.apart = typeof own; extensions.dataset.more = main_parent.nodeName;"
        """,
    # Its components are drawn before its script runs. Its card shows its errors.
    "late": """
        import gradio as gr
        params = {"display_name": "Late", "is_tab": True}
        def ui():
            with gr.Tabs():
                with gr.Tab("First"):
                    gr.Textbox(label="Drawn", elem_id="drawn-late")
                    gr.Textbox(visible=False, elem_id="never-drawn")
                with gr.Tab("Second"):
                    gr.Code(elem_id="drawn-when-opened")
            gr.Dataframe([[1]], elem_id="drawn-last")
        def custom_js():
            return '''
                window.late = ["drawn-late", "drawn-last"].map((id) => !!document.getElementById(id));
                window.theme = () => document.getElementById("highlight-css").getAttribute("href");
                document.getElementById("hover-menu").append(document.getElementById("drawn-last"));
                document.getElementById("Generate").insertAdjacentHTML("afterend", "<i id=beside>beside</i>");
                setTimeout(() => { throw new Error("in a timer, on purpose"); });
                Promise.reject(new Error("in a promise, on purpose"));
                throw new TypeError("at once, on purpose"); // a comment at the end'''
        """,
    "tab": """
        import gradio as gr
        params = {"display_name": "Their tab", "is_tab": True}
        def ui():
            with gr.Tab("Inner", elem_id="inner-tab"):
                slider = gr.Slider(0, 10, value=3, step=1, label="Number", elem_id="their-slider")
                out = gr.Markdown("nothing", elem_id="their-out")
            slider.change(lambda value: f"it is {value}", slider, out)
        """,
}

# Events arrive with a delay, so that the end of one stream coincides with the next event.
LATE_STREAMS = """
    const fetched = globalThis.fetch;
    globalThis.fetch = async (...asked) => {
      const answer = await fetched(...asked);
      if (!String(asked[0].url ?? asked[0]).includes("/queue/data")) return answer;
      const late = async (bytes, next) => { await new Promise((done) => setTimeout(done, 60)); next.enqueue(bytes); };
      return new Response(answer.body.pipeThrough(new TransformStream({ transform: late })), answer);
    };
"""


@pytest.fixture(scope="module")
def scripted(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start a Paddock with all of these scripts enabled."""
    folder = prepare(tmp_path_factory.mktemp("scripted"))
    root = folder / "user_data" / "extensions"
    for name, code in CODE.items():
        (root / name).mkdir(parents=True)
        (root / name / "script.py").write_text(textwrap.dedent(code))
    agreed = {name: entry.sha256 for name, entry in discover([root]).items()}
    kept = {"enabled": list(CODE), "consent": agreed}
    Path(folder, "user_data", "extensions.yaml").write_text(yaml.safe_dump(kept))
    served = Served(folder, "--model", "small")
    served.wait()
    yield served
    served.close()


def holds(page: Any, field: str, value: str) -> None:
    """Wait until the field with this id has this value."""
    page.wait_for_function(
        "([field, value]) => document.querySelector(`#${field} :is(input, textarea)`)?.value === value",
        arg=[field, value],
    )


def test_scripts_for_older_versions_of_gradio(scripted: Served, visit: Any) -> None:
    page = visit(scripted.address)
    page.click("#idiom-tool")
    holds(page, "idiom-box", "one from js!")
    page.wait_for_selector("button#idiom-tool:disabled:has-text('Used')")


def test_a_button_generates_a_reply_in_the_open_chat(scripted: Served, visit: Any) -> None:
    page = visit(scripted.address)
    new_chat(page)
    assert ask(page, "hello") == "hello"
    page.click("#ask-for-me")
    page.wait_for_function("document.querySelectorAll('.transcript[role=log] .message.assistant').length === 2")
    page.wait_for_selector("#script-display-shown", state="detached")
    assert newest(page) == "asked by a button"
    again = visit(page.url)
    again.wait_for_selector(f"{NEWEST} .message-body:has-text('asked by a button')")


def test_a_button_generates_a_reply_on_an_empty_page(scripted: Served, visit: Any) -> None:
    page = visit(scripted.address)
    new_chat(page)
    page.click("#ask-for-me")
    page.wait_for_selector(f"{NEWEST} .message-body:has-text('asked by a button')")
    assert page.locator(".transcript[role=log] .message").count() == 2


def test_hidden_fields_are_bound_to_the_page(scripted: Served, visit: Any) -> None:
    page = visit(scripted.address)
    new_chat(page)
    sent = int(page.input_value("#sent input"))
    ask(page, "hello")
    holds(page, "sent", str(sent + 1))
    chat = page.evaluate("paddock.chat")
    holds(page, "switched", chat)
    assert int(page.input_value("#drawn input")) > 0
    page.fill("#chat-input textarea", "half a word")
    page.click("#tell")
    holds(page, "fields", f"half a word|{chat}|1|instruct")
    page.click("#forget")
    page.wait_for_function("document.querySelector('#script-history :is(input, textarea)').value.startsWith('kept:')")
    page.click("#tell")
    holds(page, "fields", f"half a word|{chat}|0|instruct")
    ask(page, "again")
    page.click("#tell")
    holds(page, "fields", f"|{chat}|2|instruct")
    page.click("#type")
    page.wait_for_function("document.querySelector('#chat-input textarea').value === 'typed for you'")
    assert page.is_enabled("#send")
    page.evaluate("document.querySelector('#Generate').click()")
    page.wait_for_selector(".message.user .message-body:has-text('typed for you')")
    page.wait_for_selector(f"{NEWEST} .message-body:has-text('typed for you')")
    page.evaluate("dispatchEvent(new CustomEvent('paddock-theme', { detail: 'dark' }))")
    holds(page, "theme-now", "dark")


def test_no_event_is_lost_between_two_streams_of_the_queue(scripted: Served, visit: Any) -> None:
    page = visit(scripted.address)
    page.add_init_script(LATE_STREAMS)
    page.reload()
    started(page)
    new_chat(page)
    for pause in range(0, 120, 10):
        page.evaluate(
            "async ([text, pause]) => { document.querySelector('#forget').click(); paddock.composer.fill(text);"
            " await new Promise((resolve) => setTimeout(resolve, pause)); document.querySelector('#tell').click(); }",
            [f"after {pause}", pause],
        )
        holds(page, "fields", f"after {pause}||0|instruct")


def test_styles_and_scripts_reach_the_page_but_not_each_other(scripted: Served, visit: Any) -> None:
    page = visit(scripted.address)
    page.wait_for_function("window.looks && window.apart")
    assert page.evaluate("window.looks") == [[], True, "notebook-tab", True]
    assert page.evaluate("window.apart") == "undefined"
    assert page.evaluate("document.querySelector('#extensions').dataset.more") == "DIV"
    new_chat(page)
    ask(page, "hello")
    style = "getComputedStyle(document.querySelector('.message'))"
    assert page.evaluate(f"{style}.outlineColor") == "rgb(1, 2, 3)"
    assert page.evaluate("getComputedStyle(document.querySelector('.message-body')).letterSpacing") == "2px"
    # Scripts get another frame. Paddock's own is unchanged.
    boxes = {name: page.locator(name).bounding_box() for name in ("#open-drawer", ".header_bar", "#chat-tab")}
    assert boxes["#open-drawer"]["x"] + boxes["#open-drawer"]["width"] < 1280
    assert boxes["#chat-tab"]["y"] - boxes[".header_bar"]["height"] < 2


def test_a_script_runs_once_its_components_are_drawn_and_its_card_shows_its_errors(
    scripted: Served, visit: Any
) -> None:
    page = visit(scripted.address)
    page.wait_for_function("window.late")
    assert page.evaluate("window.late") == [True, True]
    page.evaluate("paddock.shell.openTab('extensions')")
    card = page.locator("#extension-row-late")
    for words in ("in a timer, on purpose", "in a promise, on purpose", "at once, on purpose"):
        card.get_by_text(words).first.wait_for()
    assert "on purpose" not in page.locator("#extension-row-tab").inner_text()


def test_buttons_that_scripts_add_are_visible_and_send(scripted: Served, visit: Any) -> None:
    page = visit(scripted.address)
    page.wait_for_function("window.late")
    for place in ("#hover-menu #drawn-last", "#chat-input-container #beside"):
        assert page.locator(place).is_visible()
    for scheme, sheet in (("dark", "github-dark.min.css"), ("light", "github.min.css")):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(f"window.theme() === 'file/css/highlightjs/{sheet}'")
    new_chat(page)
    page.fill("#chat-input textarea", "sent by a script")
    page.evaluate("document.getElementById('Generate').click()")
    page.wait_for_selector(".message.user:has-text('sent by a script')")


def test_a_script_can_have_a_tab(scripted: Served, visit: Any) -> None:
    page = visit(scripted.address)
    page.get_by_role("button", name="Their tab", exact=True).click()
    view = page.locator(".extension-view.shown").bounding_box()
    assert view["x"] + view["width"] == 1280
    page.fill("#their-slider input[type=number]", "7")
    page.press("#their-slider input[type=number]", "Tab")
    page.wait_for_selector("#their-out:has-text('it is 7')")


def test_the_fields_for_scripts_are_invisible(scripted: Served, visit: Any) -> None:
    page = visit(scripted.address)
    page.wait_for_selector("#script-unique_id", state="attached")
    assert not page.is_visible("#script-unique_id") and not page.is_visible("#Generate")
    page.wait_for_selector("#chat-input textarea", state="visible")
