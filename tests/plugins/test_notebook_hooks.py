"""The notebook runs the hooks on texts, with `is_chat` False."""

from __future__ import annotations

import threading
from collections.abc import Callable

from modules.protocol.sampling import SamplingParams
from modules.ui.notebook import Notebook
from tests.plugins.conftest import PATIENCE, Talk


def _wait(notebook: Notebook, condition: Callable[[], bool]) -> None:
    changed = threading.Event()
    release = notebook.subscribe(changed.set)
    try:
        while not condition():
            assert changed.wait(PATIENCE)
            changed.clear()
    finally:
        release()


def test_the_notebook_runs_the_hooks_and_shows_what_was_written(talk: Talk) -> None:
    code = """
        seen = []
        def state_modifier(state):
            state["max_new_tokens"] = 3
        def input_modifier(string, is_chat):
            seen.append(is_chat)
            return string.replace("2d6", "7 8 9")
        def output_modifier(string, is_chat):
            seen.append(is_chat)
            return f"<{string}>"
        """
    talk.add("all", code)
    notebook = Notebook(talk.app)
    notebook.generate("I 2d6", SamplingParams(), "a page")
    _wait(notebook, lambda: notebook.generation is None)
    assert notebook.text() == "I 2d6<I 7 8>"
    running = talk.manager.running.get("all")
    assert running is not None and running.plugin.seen == [False, False]
    notebook.undo()
    assert notebook.text() == "I 2d6"


def test_an_extension_may_write_in_the_notebook_in_place_of_the_model(talk: Talk) -> None:
    code = "def custom_generate_reply(question, is_chat):\n    yield ' one'\n    yield f' one two {is_chat}'"
    talk.add("parrot", code)
    notebook = Notebook(talk.app)
    notebook.generate("zero", SamplingParams(), "a page")
    _wait(notebook, lambda: notebook.generation is None)
    assert notebook.text() == "zero one two False"


def test_a_missing_service_is_shown_in_the_notebook_and_no_text_is_lost(talk: Talk) -> None:
    talk.add("lookup", "def input_modifier(string):\n    raise ConnectionError('gone')")
    notebook = Notebook(talk.app)
    notebook.generate("say this", SamplingParams(), "a page")
    _wait(notebook, lambda: notebook.generation is None)
    assert notebook.text() == "say this"
    assert notebook.error is not None and "could not do its part" in notebook.error.message
    talk.add("late", "def output_modifier(string):\n    raise ConnectionError('gone')")
    talk.manager.disable("lookup")
    notebook.generate("say this", SamplingParams(), "a page")
    _wait(notebook, lambda: notebook.generation is None)
    assert notebook.text() == "say thissay this" and notebook.error is not None


def test_stop_ends_hooks_and_the_model_alike(talk: Talk) -> None:
    talk.add("dots", "def input_modifier(string):\n    return string + ' !long'")
    notebook = Notebook(talk.app)
    notebook.generate("words", SamplingParams(), "a page")
    notebook.stop()
    _wait(notebook, lambda: notebook.generation is None)
    assert notebook.text().startswith("words") and notebook.error is None
