"""Several notebooks, and the tokens of what a model wrote into one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modules.app import App
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.ui.notebook_tokens import TokenView, why_no_tokens
from modules.ui.notebooks import FIRST, Notebooks
from tests.ui.test_notebook import wait_for


@pytest.fixture
def notebooks(tmp_path: Path) -> Notebooks:
    """Return the notebooks of an empty folder, without a model."""
    paths = SimpleNamespace(notebook=tmp_path / "notebook.txt", notebooks=tmp_path / "notebooks")
    return Notebooks(SimpleNamespace(paths=paths))  # type: ignore[arg-type]


def test_notebooks_are_kept_apart_and_listed_by_name(notebooks: Notebooks, tmp_path: Path) -> None:
    assert notebooks.names() == []
    assert [notebooks.create("Poem"), notebooks.create("poem 7"), notebooks.create("Poem")] == [
        "Poem",
        "poem 7",
        "Poem 2",
    ]
    notebooks.get("Poem").write("roses", "a page")
    notebooks.get(FIRST).write("first", "a page")
    assert notebooks.names() == ["Poem", "Poem 2", "poem 7"]
    assert (tmp_path / "notebooks" / "Poem.txt").read_text() == "roses"
    assert notebooks.get("Poem 2").text() == "" and (tmp_path / "notebook.txt").read_text() == "first"


def test_a_renamed_notebook_keeps_its_text(notebooks: Notebooks) -> None:
    notebooks.create("Poem")
    notebooks.get("Poem").write("roses", "a page")
    assert notebooks.rename("Poem", " Ode ") == "Ode"
    assert notebooks.get("Ode").text() == "roses" and notebooks.names() == ["Ode"]
    notebooks.create("Other")
    with pytest.raises(PaddockError, match="named Ode already"):
        notebooks.rename("Other", "Ode")


def test_a_deleted_notebook_comes_back_with_its_text(notebooks: Notebooks) -> None:
    for text in ("one", "two"):
        notebooks.create("Poem")
        notebooks.get("Poem").write(text, "a page")
        notebooks.discard("Poem")
    assert notebooks.names() == []
    notebooks.create("Poem")
    assert notebooks.restore("Poem") == "Poem 2" and notebooks.get("Poem 2").text() == "two"
    with pytest.raises(PaddockError, match="not in the trash"):
        notebooks.restore("Poem")


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "x" * 101, "nul\0"])
def test_no_name_leads_out_of_the_folder(notebooks: Notebooks, name: str) -> None:
    with pytest.raises(PaddockError):
        notebooks.create(name)
    with pytest.raises(PaddockError):
        notebooks.get(name)


def test_the_first_notebook_stays(notebooks: Notebooks) -> None:
    for change in (lambda: notebooks.discard(FIRST), lambda: notebooks.rename(FIRST, "x")):
        with pytest.raises(PaddockError, match="first notebook cannot"):
            change()


def _entry(data: bytes, logprob: float, *top: tuple[bytes, float]) -> dict[str, Any]:
    others = [{"bytes": list(each), "logprob": value} for each, value in top]
    return {"bytes": list(data), "logprob": logprob, "top": others}


def test_tokens_have_their_place_in_the_text_also_within_a_character() -> None:
    # The second and the third token are halves of one letter.
    entries = [_entry(b"A ", 0.0, (b"A", -1), (b"\xa4", -2)), _entry(b"\xc3", -1.0)]
    entries += [_entry(b"\xa4", float("-inf")), _entry(b"b", -2)]
    generation = SimpleNamespace(logprobs=entries, text="A äb")
    view = TokenView.of("Say: ", generation)  # type: ignore[arg-type]
    assert [(one["at"], one["text"]) for one in view.tokens] == [(0, "A "), (2, "�"), (2, "ä"), (3, "b")]
    assert [one["probability"] for one in view.tokens] == [1.0, 0.367879, 0.0, 0.135335]
    # No text can continue with half of a letter.
    assert view.tokens[0]["top"] == [{"text": "A", "probability": 0.367879}]
    assert len(view.shown("Say: A äb")["tokens"]) == 4 and view.shown("Say: A äb")["start"] == 5
    assert view.shown("Say: A äbc")["tokens"] == []


def test_the_tokens_of_a_text_are_shown_with_alternatives(echo: App) -> None:
    notebooks = Notebooks(echo)
    notebook = notebooks.get(FIRST)
    notebook.generate("say this", SamplingParams(), "a page", 3)
    wait_for(notebook, lambda: notebook.generation is None)
    assert notebook.tokens is not None
    shown = notebook.tokens.shown(notebook.text())
    assert "".join(one["text"] for one in shown["tokens"]) == "say this" and shown["start"] == 8
    assert all(one["top"] and 0 < one["probability"] <= 1 for one in shown["tokens"])
    assert notebook.facts()["tokens"] == shown["revision"]


def test_a_loader_without_probabilities_says_so() -> None:
    state = SimpleNamespace(loader="exllamav2")
    spec = SimpleNamespace(title="ExLlamaV2", logprobs=False)
    app = SimpleNamespace(
        supervisor=SimpleNamespace(state=state), registry=SimpleNamespace(specs={"exllamav2": spec}), extensions=None
    )
    assert why_no_tokens(app).startswith("ExLlamaV2 does not report the probabilities of tokens.")  # type: ignore[arg-type]
