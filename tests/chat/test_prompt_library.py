"""The library of prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.chat.prompt_library import PromptLibrary
from modules.protocol.errors import PaddockError
from modules.settings.user_settings import YamlStore


def test_prompts_are_saved_replaced_and_deleted(tmp_path: Path) -> None:
    library = PromptLibrary(YamlStore(tmp_path / "prompts.yaml"))
    library.save(" /explain ", "Explain {{topic}}.\n<b>")
    library.save("Größe", "How large is {{thing}}?")
    library.save("explain", "Explain {{topic}} to me.")
    again = PromptLibrary(YamlStore(tmp_path / "prompts.yaml"))
    assert [(prompt.name, prompt.text) for prompt in again.all()] == [
        ("explain", "Explain {{topic}} to me."),
        ("Größe", "How large is {{thing}}?"),
    ]
    again.delete("explain")
    again.delete("explain")
    assert [prompt.name for prompt in again.all()] == ["Größe"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("two words", "x", "letters, digits"),
        ("", "x", "letters, digits"),
        ("../x", "x", "letters, digits"),
        ("a", "  ", "needs a text"),
        ("a", "x" * 60_000, "at most"),
    ],
    ids=["space", "empty", "path", "blank", "long"],
)
def test_a_prompt_that_cannot_be_used_gets_a_sentence(tmp_path: Path, name: str, text: str, words: str) -> None:
    library = PromptLibrary(YamlStore(tmp_path / "prompts.yaml"))
    with pytest.raises(PaddockError, match=words):
        library.save(name, text)
    assert library.all() == []
