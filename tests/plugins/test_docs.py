"""The example extensions of docs/extensions.md work unchanged."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from modules.plugins.extension_host import ApiRequest
from modules.plugins.extension_services import call_route
from modules.protocol.errors import PaddockError
from modules.ui.page import build_page
from tests.compat.pages import Browser
from tests.conftest import ROOT
from tests.plugins.conftest import Talk, write_extension


def examples() -> dict[str, dict[str, str]]:
    """Return name -> file -> code of each block whose first line names a file."""
    text = (ROOT / "docs" / "extensions.md").read_text(encoding="utf-8")
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name, file, code in re.findall(r"```python\n# extensions/(\w+)/(\w+\.py)\n(.*?)```", text, re.DOTALL):
        found[name][file] = code
    return found


def switch_on(talk: Talk, name: str) -> Path:
    """Write the example and enable it."""
    files = dict(examples()[name])
    folder = write_extension(talk.root, name, files.pop("extension.py"))
    for file, code in files.items():
        (folder / file).write_text(code)
    talk.manager.enable(name, talk.manager.find(name).sha256)
    return folder


def test_a_component_changes_what_replies_are_made_from(talk: Talk) -> None:
    switch_on(talk, "mood")
    prompts = talk.prompts()
    talk.ask("hello")
    page = Browser(build_page(talk.app))
    radio = next(block for block in page.page.blocks.values() if getattr(block, "label", "") == "Mood")
    page.held[radio._id] = "gloomy"
    page.fire(radio, "change")
    assert page.failed == []
    talk.ask("hello")
    assert "mood" not in prompts[0] and "Answer in a gloomy mood." in prompts[1]


def test_each_method_of_host_does_what_its_example_says(talk: Talk) -> None:
    switch_on(talk, "tour")

    def route(path: str, method: str = "GET", body: bytes = b"", **query: str) -> Any:
        return call_route(talk.manager, "tour", ApiRequest(method, path, query, {}, body))

    assert route("about") == {"name": "tour", "model": "tiny", "loader": "echo", "files": "tour"}
    assert route("remember", city="Rome") == {"city": "Rome"}
    assert route("count", text="one two three") == {"tokens": 3, "first": "one"}
    assert route("title", text="a day") == "A title for: a day"
    assert route("first_sentence", text="One. Two. !long") == "One."
    assert route("note", "POST", b"kept") == {"kept": 4}
    assert (talk.app.paths.extension_data / "tour" / "note.txt").read_bytes() == b"kept"
    assert route("shared", text="why") == {"asked": "why"}
    # The echo loader has no probabilities. The extension stays enabled.
    with pytest.raises(PaddockError, match="cannot show next-token probabilities"):
        route("likely", text="hello")
    assert talk.manager.running.get("tour") is not None


def test_what_is_kept_without_settings_is_there_as_attributes(talk: Talk) -> None:
    code = """
        def input_modifier(string, settings, host):
            host.keep({"n": getattr(settings, "n", 0) + 1})
            return str(getattr(settings, "n", "none"))
        """
    talk.add("kept", code)
    assert [talk.ask("x")[-1].text for _ in range(3)] == ["none", "1", "2"]
    assert talk.manager.saved.settings("kept") == {"n": 3}


def test_what_is_kept_is_checked_where_there_are_settings(talk: Talk) -> None:
    code = """
        def input_modifier(string, settings, host):
            host.keep({"sides": int(string), "more": 1})
            return str(settings.sides)
        """
    talk.add("dice", code, "settings: {sides: {default: 6, label: Sides, minimum: 2}}")
    assert [talk.ask(text)[-1].text for text in ("8", "10")] == ["6", "8"]
    reply = talk.ask("1")[-1]
    assert "Dice could not do its part (input_modifier)" in reply.meta["error"]
    assert talk.manager.saved.settings("dice") == {"sides": 10, "more": 1}


def test_what_events_of_components_print_is_on_the_card(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    code = """
        import gradio as gr
        def count():
            for n in range(2):
                print("step", n)
                yield str(n)
        def ui():
            box = gr.Textbox(label="Box")
            gr.Button("Say").click(lambda: print("pressed"), None, None)
            gr.Button("Count").click(count, None, box)
        """
    talk.add("panel", code)
    page = Browser(build_page(talk.app))
    for label in ("Say", "Count"):
        button = next(block for block in page.page.blocks.values() if getattr(block, "value", "") == label)
        page.fire(button, "click")
    running = talk.manager.running.get("panel")
    assert running is not None and running.output.text == "pressed\nstep 0\nstep 1\n"
    assert "pressed" not in capsys.readouterr().out
