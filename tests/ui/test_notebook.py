"""The Notebook's text is never lost, can be undone step by step, and cannot be changed while the model writes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modules.app import App
from modules.files.paths import write_atomically
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.ui.notebook import Notebook

PATIENCE = 90.0


def wait_for(notebook: Notebook, condition: Callable[[], bool]) -> None:
    """Wait until the notebook meets a condition."""
    changed = threading.Event()
    release = notebook.subscribe(changed.set)
    try:
        while not condition():
            assert changed.wait(PATIENCE)
            changed.clear()
    finally:
        release()


def test_the_text_is_loaded_at_the_next_start(app: App) -> None:
    Notebook(app).write("Once upon a time", "a page")
    assert Notebook(app).text() == "Once upon a time"


def test_generate_appends_and_undo_and_redo_go_back_and_forth(echo: App) -> None:
    notebook = Notebook(echo)
    notebook.generate("say this", SamplingParams(), "a page")
    wait_for(notebook, lambda: notebook.generation is None)
    assert notebook.text() == "say thissay this"
    notebook.undo()
    assert notebook.text() == "say this"
    notebook.undo()
    assert notebook.text() == ""
    notebook.redo()
    notebook.redo()
    assert Notebook(echo).text() == "say thissay this"


def test_while_the_model_writes_the_text_is_not_overwritten(echo: App) -> None:
    notebook = Notebook(echo)
    notebook.generate("!long words", SamplingParams(), "a page")
    with pytest.raises(PaddockError, match="Press Stop"):
        notebook.write("something else", "another page")
    notebook.stop()
    wait_for(notebook, lambda: notebook.generation is None)
    assert notebook.text().startswith("!long words")


def test_the_models_text_is_in_the_file_before_it_ends(echo: App, monkeypatch: pytest.MonkeyPatch) -> None:
    grown = threading.Event()

    def write(path: Path, content: str) -> None:
        write_atomically(path, content)
        if len(content) > len("!long words"):
            grown.set()

    monkeypatch.setattr("modules.ui.notebook.write_atomically", write)
    notebook = Notebook(echo)
    notebook.generate("!long words", SamplingParams(max_new_tokens=1_000_000), "a page")
    assert grown.wait(PATIENCE) and notebook.generation is not None
    assert echo.paths.notebook.read_text().startswith("!long words!long")
    notebook.stop()
    wait_for(notebook, lambda: notebook.generation is None)


def test_the_text_of_a_worker_that_died_is_kept(app: App) -> None:
    app.models.load("tiny", "echo", {"delay": 0.1})
    notebook = Notebook(app)
    notebook.generate("one two three four five !crash", SamplingParams(), "a page")
    wait_for(notebook, lambda: notebook.generation is None)
    assert notebook.text() == "one two three four five !crashone two three four"
    assert notebook.facts()["error"]["error"]


def test_without_a_model_it_says_so_and_keeps_the_text(app: App) -> None:
    notebook = Notebook(app)
    with pytest.raises(PaddockError, match="No model is loaded"):
        notebook.generate("a text", SamplingParams(), "a page")
    assert notebook.text() == "a text"


def test_a_text_that_could_not_be_saved_is_saved_at_the_next_try(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Notebook(app)

    def full(path: Path, content: str) -> None:
        raise PaddockError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr("modules.ui.notebook.write_atomically", full)
        for _ in range(2):
            with pytest.raises(PaddockError, match="disk is full"):
                notebook.write("a text", "a page")
    notebook.write("a text", "a page")
    assert Notebook(app).text() == "a text"
    notebook.undo()
    assert notebook.text() == ""
