"""Characters: their files, their names, and the trash."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.chat.characters import Character, CharacterError, Characters, fill_in
from modules.files.paths import PathError


@pytest.fixture
def characters(tmp_path: Path) -> Characters:
    return Characters(tmp_path / "characters")


def put(tmp_path: Path, name: str, text: str) -> None:
    folder = tmp_path / "characters"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def test_no_folder_means_no_characters(characters: Characters) -> None:
    assert characters.names() == []
    with pytest.raises(CharacterError, match="no character named 'Ada'.*none yet"):
        characters.load("Ada")


def test_a_character_comes_back_as_it_was_saved(characters: Characters) -> None:
    ada = Character("Ada Lovelace", "She counts.\n\n  And: writes 'ö'.", "Hello!\nYou?", {"colour": "red"})
    characters.save("ada", ada)
    assert characters.load("ada") == ada and characters.names() == ["ada"]


def test_files_of_text_generation_webui_are_read(characters: Characters, tmp_path: Path) -> None:
    put(
        tmp_path,
        "Chiharu.yaml",
        "name: Chiharu\ngreeting: |-\n  *waves*\n  Hi {{user}}!\ncontext: |-\n  {{char}} is 18.\n",
    )
    put(tmp_path, "Old.json", '{"name": "Old", "context": "Old words.", "example_dialogue": "{{user}}: hi"}')
    put(tmp_path, ".hidden.yaml", "name: no")
    put(tmp_path, "picture.png", "no")
    assert characters.names() == ["Chiharu", "Old"]
    assert characters.load("Chiharu") == Character("Chiharu", "{{char}} is 18.", "*waves*\nHi {{user}}!")
    old = characters.load("Old")
    assert old.context == "Old words.\n{{user}}: hi"
    characters.save("Old", old)
    assert characters.load("Old").context == old.context, "the sample lines are not doubled"


def test_a_deleted_character_lies_in_the_trash(characters: Characters, tmp_path: Path) -> None:
    for text in ("first", "second"):
        characters.save("Ada", Character("Ada", text))
        kept = characters.delete("Ada")
        assert text in kept.read_text() and kept.is_relative_to(tmp_path / "characters")
    assert characters.names() == []
    assert len(list((tmp_path / "characters" / ".trash").iterdir())) == 2


@pytest.mark.parametrize("name", ["../Ada", "/Ada", "a/b", "", " ", ".trash", "a\nb", "C:Ada"])
def test_a_name_cannot_leave_the_folder(characters: Characters, name: str) -> None:
    for act in (lambda: characters.save(name, Character("x")), lambda: characters.load(name)):
        with pytest.raises(PathError):
            act()


@pytest.mark.parametrize("name", ["a" * 101, "é" * 300, "马" * 80])
def test_a_name_too_long_for_a_file_is_a_sentence(characters: Characters, name: str) -> None:
    for act in (lambda: characters.save(name, Character("x")), lambda: characters.load(name)):
        with pytest.raises(PathError, match="The character's name .* is too long. Use at most 100 Latin letters"):
            act()


def test_the_longest_names_can_be_saved_and_deleted(characters: Characters) -> None:
    for name in ("a" * 100, "马" * 66):
        characters.save(name, Character("x"))
        assert characters.load(name).name == "x"
        characters.delete(name)


@pytest.mark.parametrize("text", ["name: [", "- a list", "\x00"])
def test_a_file_with_a_fault_is_a_sentence_with_its_name(characters: Characters, tmp_path: Path, text: str) -> None:
    put(tmp_path, "Broken.yaml", text)
    with pytest.raises(CharacterError, match=r"Broken\.yaml"):
        characters.load("Broken")


def test_names_are_filled_in() -> None:
    assert fill_in("{{char}} and {{user}}, <BOT> and <USER>", "Kim", "Ada") == "Ada and Kim, Ada and Kim"
