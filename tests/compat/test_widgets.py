"""shared.gradio: named components and their chained events."""

from __future__ import annotations

from typing import Any

import pytest

from modules.protocol.errors import PaddockError
from tests.compat.conftest import Stage
from tests.compat.pages import Browser

READER = """
    import gradio as gr
    from modules import shared
    seen = []
    def ui():
        global button
        button = gr.Button("Read")
        button.click(lambda *values: seen.extend(values), [shared.gradio[name] for name in NAMES], None)
"""


def shows(browser: Browser, stage: Stage, chat: str) -> None:
    """Set the fields that depend on the chat to its id, as page.js does."""
    for entry in browser.config.values():
        if "script-chat" in (entry["props"].get("elem_classes") or ()):
            browser.held[entry["id"]] = chat


def test_components_hold_what_paddock_has_when_an_event_asks(stage: Stage) -> None:
    names = ["mode", "name1", "character_menu", "temperature", "history", "unique_id", "interface_state", "display"]
    module = stage.script("reader", READER.replace("NAMES", repr(names)))
    browser = stage.page()
    chat = stage.app.chats.create().id
    stage.ask("hello", chat)
    stage.app.settings.set("name1", "Ada")
    shows(browser, stage, chat)
    browser.fire(module.button, "click")
    mode, name1, character, temperature, history, unique_id, state, display = module.seen
    assert (mode, name1, character, unique_id) == ("instruct", "Ada", "None", chat)
    assert history["visible"] == [["hello", "hello"]] and temperature == stage.app.sampling.params().temperature
    assert (state["name1"], state["unique_id"], state["history"]) == ("Ada", chat, history)
    assert display.count("hello") == 2 and "message-body" in display


def test_an_event_may_set_them(stage: Stage) -> None:
    module = stage.script(
        "setter",
        """
        import gradio as gr
        from modules import shared
        from modules.utils import gradio
        def ui():
            global button
            button = gr.Button("Set")
            outputs = gradio("temperature", "custom_system_message", "textbox", "preset_menu")
            button.click(lambda: (0.25, "Be brief.", {"text": "typed", "files": []}, None), None, outputs)
        """,
    )
    browser = stage.page()
    browser.fire(module.button, "click")
    assert stage.app.sampling.params().temperature == 0.25 and stage.app.settings.get("system") == "Be brief."
    assert browser.held[stage.app.scripts.widgets["textbox"]._id] == "typed"
    assert browser.failed == []


def test_gather_then_reply_then_redraw(stage: Stage) -> None:
    module = stage.script(
        "chain",
        """
        import gradio as gr
        from modules import chat, shared
        from modules.ui import gather_interface_values
        from modules.utils import gradio
        def ui():
            global button
            button = gr.Button("Go")
            given = [shared.gradio[k] for k in shared.input_elements]
            button.click(gather_interface_values, given, shared.gradio["interface_state"]).then(
                lambda: "said by a button", None, gradio("Chat input")
            ).then(
                chat.generate_chat_reply_wrapper, gradio("Chat input", "interface_state"), gradio("display", "history"),
                show_progress=False
            )
        """,
    )
    browser = stage.page()
    chat = stage.app.chats.create().id
    stage.ask("before", chat)
    shows(browser, stage, chat)
    browser.fire(module.button, "click")
    assert browser.failed == []
    assert [message.text for message in stage.app.chats.messages(chat)] == ["before"] * 2 + ["said by a button"] * 2
    assert "said by a button" in browser.held[stage.app.scripts.widgets["display"]._id]


@pytest.mark.parametrize("order", [("unique_id", "character_menu", "mode"), ("character_menu", "mode", "unique_id")])
def test_history_changed_saved_and_drawn(stage: Stage, order: tuple[str, ...]) -> None:
    module = stage.script(
        "louder",
        """
        import gradio as gr
        from modules import chat, ui_chat
        from modules.utils import gradio
        def louder(history):
            history["visible"] = [[a, b.upper()] for a, b in history["visible"]]
            return history
        def ui():
            global button
            button = gr.Button("Louder")
            button.click(louder, gradio("history"), gradio("history")).then(
                chat.save_history, gradio("history", *ORDER), None).then(
                chat.redraw_html, gradio(ui_chat.reload_arr), gradio("display"))
        """.replace("ORDER", repr(order)),
    )
    browser = stage.page()
    chat = stage.app.chats.create().id
    stage.ask("hello", chat)
    shows(browser, stage, chat)
    browser.fire(module.button, "click")
    assert browser.failed == [] and stage.app.chats.messages(chat)[-1].text == "HELLO"
    assert "HELLO" in browser.held[stage.app.scripts.widgets["display"]._id]


def test_a_script_may_add_components_under_its_own_names(stage: Stage) -> None:
    module = stage.script(
        "own",
        """
        import gradio as gr
        from modules import shared
        seen = []
        def ui():
            shared.gradio["mine"] = gr.Checkbox(True)
            shared.gradio["mine"].change(seen.append, shared.gradio["mine"], None)
        """,
    )
    browser = stage.page()
    browser.fire(stage.app.scripts.widgets["mine"], "change")
    assert module.seen == [True]


def test_a_page_without_scripts_has_none_of_them(stage: Stage) -> None:
    ids = [entry["props"].get("elem_id") for entry in stage.page().config.values()]
    assert not [elem_id for elem_id in ids if str(elem_id).startswith("script-")]


def test_an_unknown_component_name_is_reported(stage: Stage) -> None:
    stage.script("lost", "from modules import shared\ndef ui():\n    shared.gradio['no_such']")
    stage.page()
    fault = stage.manager.failures.get("lost")
    assert fault is not None and "no_such" in fault.message


def test_a_new_page_has_new_components(stage: Stage) -> None:
    module = stage.script("reader", READER.replace("NAMES", "['mode']"))
    first = stage.page()
    stage.page()
    before = len(module.seen)
    assert first.page.blocks.keys().isdisjoint({module.button._id})
    second = stage.page()
    second.fire(module.button, "click")
    assert len(module.seen) == before + 1


@pytest.mark.parametrize("name", ["Generate", "Stop", "Remove last", "load_model", "delete_confirm", "interface"])
def test_buttons_and_the_page_take_events(stage: Stage, name: str) -> None:
    event = "load" if name == "interface" else "click"
    stage.script(
        "events", f"from modules import shared\ndef ui():\n    shared.gradio[{name!r}].{event}(print, None, None)"
    )
    stage.page()
    assert stage.manager.failures.get("events") is None


def test_the_deleting_dialog_deletes_in_the_users_data_only(stage: Stage) -> None:
    module = stage.script(
        "cleaner",
        """
        import gradio as gr
        from modules.utils import gradio
        def ui():
            global button, confirm
            button = gr.Button("Clean")
            button.click(lambda: (FOLDER, "old.txt", gr.update(visible=True)), None,
                         gradio("delete_root", "delete_filename", "file_deleter"))
            confirm, = gradio("delete_confirm")
        """,
    )
    for folder, gone in ((stage.app.paths.user_data, True), (stage.root.parent.parent, False)):
        (folder / "old.txt").write_text("x")
        vars(module)["FOLDER"] = str(folder)
        browser = stage.page()
        browser.fire(module.button, "click")
        browser.fire(module.confirm, "click")
        assert (folder / "old.txt").exists() is not gone


def test_a_refresh_button_reads_again(stage: Stage) -> None:
    module = stage.script(
        "choices",
        """
        import gradio as gr
        from modules import ui as main_ui
        names = ["a"]
        def ui():
            global button, menu
            menu = gr.Dropdown(choices=names, label="Menu")
            button = main_ui.create_refresh_button(menu, lambda: names.append("b"), lambda: {"choices": names}, "tiny")
        """,
    )
    browser = stage.page()
    browser.fire(module.button, "click")
    choices: Any = browser.config[module.menu._id]["props"]["choices"]
    assert [choice[0] for choice in choices] == ["a", "b"]


def test_building_paddocks_page_a_second_time_is_refused(stage: Stage) -> None:
    with pytest.raises(PaddockError, match="Paddock's own"):
        stage.facade("modules.ui_chat").create_ui()


def test_events_that_redraw_the_chat_take_the_reload_inputs(stage: Stage) -> None:
    module = stage.script(
        "drawer",
        """
        import gradio as gr
        from modules import chat, shared
        def ui():
            global button
            button = gr.Button("Draw")
            button.click(chat.redraw_html, shared.reload_inputs, shared.gradio["display"])
        """,
    )
    browser = stage.page()
    chat = stage.app.chats.create().id
    stage.ask("hello", chat)
    shows(browser, stage, chat)
    browser.fire(module.button, "click")
    assert browser.failed == []
    display = next(entry for entry in browser.config.values() if entry["props"].get("elem_id") == "script-display")
    assert str(browser.held[display["id"]]).count("hello") == 2


@pytest.mark.parametrize(
    "call",
    [
        "chat.redraw_html(history, 'You', 'AI', 'chat', 'cai-chat', 'None')",
        "chat.redraw_html(history, 'You', 'AI', 'chat', 'cai-chat')",
        "chat.redraw_html(history, 'You', 'AI', 'chat', 'cai-chat', True)",
        "chat.redraw_html(history, 'You', 'AI', 'chat', 'cai-chat', reset_cache=True)",
        "chat.redraw_html('You', 'AI', 'chat')",
        "chat.redraw_html('You', 'AI', 'chat', 'cai-chat')",
        "chat.redraw_html(history['visible'], 'You', 'AI', 'chat', 'cai-chat')",
    ],
)
def test_the_chat_is_drawn_for_older_signatures_too(stage: Stage, call: str) -> None:
    stage.ask("hello")
    module = stage.script("drawer", f"from modules import chat\ndef draw(history):\n    return {call}")
    html = module.draw({"internal": [["hello", "hello"]], "visible": [["hello", "hello"]]})
    assert html.count("hello") == 2


def test_fields_of_the_model_tab_hold_what_the_model_was_loaded_with(stage: Stage) -> None:
    stage.app.models.load("tiny", "echo", {"context": 777})
    names = ["max_seq_len", "n_ctx", "gpu_layers", "loader", "Impersonate"]
    module = stage.script("reader", READER.replace("NAMES", repr(names[:-1])))
    browser = stage.page()
    shows(browser, stage, stage.app.chats.create().id)
    browser.fire(module.button, "click")
    assert module.seen == [777, 777, None, "echo"] and browser.failed == []


def test_names_of_the_whole_page_can_be_outputs_and_take_events(stage: Stage) -> None:
    names = ["max_seq_len", "cpu", "n_gpu_layers", "save_contents", "extensions_menu", "Impersonate", "Count tokens"]
    module = stage.script(
        "all",
        f"""
        import gradio as gr
        from modules import shared
        done = []
        def ui():
            global button
            button = gr.Button("Go")
            fields = [shared.gradio[name] for name in {names!r}]
            button.click(lambda: [1] * len(fields), None, fields).then(lambda: done.append(1), None, None)
            shared.gradio["Impersonate"].click(print, None, None)
            shared.gradio["max_seq_len"].change(print, shared.gradio["max_seq_len"], None)
        """,
    )
    browser = stage.page()
    browser.fire(module.button, "click")
    assert browser.failed == [] and module.done == [1]


def test_the_context_that_an_event_sets_without_a_character_is_the_system_message(stage: Stage) -> None:
    module = stage.script(
        "setter",
        """
        import gradio as gr
        from modules import shared
        from modules.chat import generate_chat_prompt
        def ui():
            global button
            button = gr.Button("Set")
            button.click(lambda: "Be a pirate.", None, shared.gradio["context"])
        def prompt(state, **changed):
            return generate_chat_prompt("hello", {**state, **changed})
        """,
    )
    browser = stage.page()
    browser.fire(module.button, "click")
    state = stage.app.scripts.widgets.stock.state()
    assert (state["context"], state["character_menu"]) == ("Be a pirate.", "None")
    assert "Be a pirate." in module.prompt(state)
    assert "A rule." in module.prompt(state, context="A rule.")
    assert module.prompt(state, context="A rule.").count("pirate") == 0
