"""Gradio 2 to 5 as scripts use it, on Gradio 6."""

from __future__ import annotations

import textwrap
from typing import Any

import gradio
import pytest

from modules.compat.bridge import Bridge
from modules.plugins.extension_overview import extension_statuses
from tests.compat.conftest import Stage
from tests.compat.pages import Browser


def drawn(code: str, bridge: Bridge | None = None) -> tuple[Browser, dict[str, Any]]:
    """Return the page that this code draws with the bridge's `gr`, and its names."""
    names: dict[str, Any] = {"gr": bridge or Bridge()}
    with gradio.Blocks() as page:
        exec(textwrap.dedent(code), names)
    return Browser(page), names


@pytest.mark.parametrize(
    "change", ["gr.Textbox.update(value='new', lines=4, label=None)", "gr.update(value='new', lines=4, label=None)"]
)
def test_update_changes_named_properties_except_none(change: str) -> None:
    browser, names = drawn(f"""
        box = gr.Textbox("old", label="Box", lines=2)
        button = gr.Button("Go")
        button.click(lambda: {change}, None, box)
    """)
    browser.fire(names["button"], "click")
    props = browser.config[names["box"]._id]["props"]
    assert (props["value"], props["lines"], props["label"]) == ("new", 4, "Box")


def test_js_in_the_old_spelling_also_in_chains() -> None:
    browser, _ = drawn("""
        button = gr.Button("Go")
        button.click(lambda: 1, None, None, _js="() => 1").then(None, None, None, _js="() => 2").success(
            lambda: 3, None, None, _js="() => 3")
    """)
    assert [function.js for function in browser.page.fns.values()] == ["() => 1", "() => 2", "() => 3"]


def test_chains_run_after_one_another() -> None:
    browser, names = drawn("""
        box, button = gr.Textbox(), gr.Button("Go")
        button.click(lambda: "a", None, box).then(lambda x: x + "b", box, box).success(lambda x: x + "c", box, box)
    """)
    browser.fire(names["button"], "click")
    assert browser.held[names["box"]._id] == "abc"


def test_removed_arguments_are_ignored_and_reported_once_per_extension(stage: Stage) -> None:
    stage.script(
        "old",
        """
        import gradio as gr
        def ui():
            for _ in range(2):
                with gr.Row().style(equal_height=True), gr.Box():
                    gr.Image(source="upload", tool="sketch", type="pil", shape=(1, 1))
                    gr.Textbox(show_copy_button=True).style(container=False)
                    gr.Slider(0, 1, 0.5).blur(print)
        """,
    )
    page = stage.page()
    entries = page.config.values()
    assert [entry["props"]["sources"] for entry in entries if entry["type"] == "image"] == [["upload"], ["upload"]]
    assert ["copy"] in [entry["props"].get("buttons") for entry in entries if entry["type"] == "textbox"]
    assert [entry["type"] for entry in entries].count("group") == 2
    (status,) = [status for status in extension_statuses(stage.manager) if status.name == "old"]
    (note,) = status.notes
    assert all(name in note for name in ("Image(tool=)", "Image(shape=)", ".style(container=)", ".blur()"))
    assert note.count("Image(tool=)") == 1


def test_a_button_as_webui_scripts_subclass_it() -> None:
    browser, names = drawn("""
        class ToolButton(gr.Button, gr.components.FormComponent):
            def __init__(self, **kwargs):
                super().__init__(variant="tool", **kwargs)
            def get_block_name(self):
                return "button"
        tool = ToolButton(value="R", elem_classes="small")
        tool.click(lambda: gr.update(value="S", interactive=False), None, tool)
    """)
    entry = browser.config[names["tool"]._id]
    assert (entry["type"], entry["props"]["value"], entry["props"]["elem_classes"]) == ("button", "R", ["small"])
    browser.fire(names["tool"], "click")
    assert (entry["props"]["value"], entry["props"]["interactive"], browser.failed) == ("S", False, [])


def test_old_names_are_classes() -> None:
    gr = Bridge()
    assert issubclass(gr.components.IOComponent, gradio.components.Component)
    assert issubclass(gr.Box, gradio.Group) and issubclass(gr.Variable, gradio.State)
    with gradio.Blocks():
        assert isinstance(gr.Textbox(), gr.components.IOComponent)
        assert isinstance(gradio.Textbox(), gr.Textbox) and not isinstance(gr.Button(), gr.Textbox)
        assert gr.inputs.Textbox(default="was").value == "was"
        assert not gr.Textbox(label="").show_label and gr.Textbox(label="Name").show_label


def test_every_in_an_event_repeats_it() -> None:
    browser, names = drawn("""
        box = gr.Textbox()
        box.change(lambda: "again", None, box, every=2)
    """)
    (timer,) = [block for block in browser.page.blocks.values() if isinstance(block, gradio.Timer)]
    browser.fire(timer, "tick")
    assert timer.value == 2 and browser.held[names["box"]._id] == "again"


def test_a_chatbot_accepts_pairs() -> None:
    browser, names = drawn("""
        bot, button = gr.Chatbot([["hi", "hello"], ["and", None]]), gr.Button("Go")
        button.click(lambda pairs: pairs + [["you", "me"]], bot, bot)
        seen = []
        bot.change(seen.append, bot, None)
    """)
    browser.fire(names["button"], "click")
    assert browser.failed == []
    browser.fire(names["bot"], "change")
    assert names["seen"] == [[["hi", "hello"], ["and", None], ["you", "me"]]]


def test_gradios_own_classes_stay_as_they_are() -> None:
    before = {name: value for name, value in vars(gradio).items() if isinstance(value, type)}
    attributes = {name: set(vars(value)) for name, value in before.items()}
    drawn("gr.Textbox('x').change(print, _js='x')\ngr.Row().style()\ngr.Chatbot()")
    assert {name: value for name, value in vars(gradio).items() if isinstance(value, type)} == before
    assert {name: set(vars(value)) for name, value in before.items()} == attributes
    assert not hasattr(gradio.Textbox, "update")


def test_events_of_a_chatbot_of_pairs_have_the_pair_and_the_side() -> None:
    _, names = drawn("""
        bot = gr.Chatbot([["hi", "hello"], [None, "greeting"], ["and", None], ["you", "me"]])
        other = gr.Textbox()
        kinds = [gr.SelectData, gr.LikeData]
    """)
    bot, (select, like) = names["bot"], names["kinds"]
    found = [select(bot, {"index": index, "value": ""}).index for index in range(6)]
    assert found == [(0, 0), (0, 1), (1, 1), (2, 0), (3, 0), (3, 1)]
    assert like(bot, {"index": 2, "value": "", "liked": True}).index == (1, 1)
    assert select(names["other"], {"index": 2, "value": "x"}).index == 2
    assert issubclass(select, gradio.SelectData) and not bot.group_consecutive_messages


def test_a_chatbot_of_messages_keeps_its_own_index_and_bubbles() -> None:
    _, names = drawn("""
        bot = gr.Chatbot([{"role": "user", "content": "hi"}], type="messages")
        select = gr.SelectData
    """)
    assert names["select"](names["bot"], {"index": 0, "value": "hi"}).index == 0
    assert names["bot"].group_consecutive_messages
