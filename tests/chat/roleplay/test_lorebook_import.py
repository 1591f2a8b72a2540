"""Lorebooks of other programs are read, and written for SillyTavern again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from modules.chat.roleplay.card_error import CardError
from modules.chat.roleplay.card_png import plain_picture, write_png_card
from modules.chat.roleplay.lore_entry import AT_DEPTH, NOT_ALL, read_book
from modules.chat.roleplay.lorebook_import import as_sillytavern, read_lorebook_value
from modules.chat.roleplay.lorebooks import Lorebooks
from modules.chat.roleplay.personas import Persona, Personas

# An entry as SillyTavern writes it, with every field.
SILLYTAVERN: dict[str, Any] = {
    "uid": 3,
    "key": ["moon", "/sun|star/i"],
    "keysecondary": ["sky"],
    "comment": "Moon",
    "content": "It is far.",
    "constant": False,
    "vectorized": False,
    "selective": True,
    "selectiveLogic": 1,
    "addMemo": True,
    "order": 7,
    "position": 4,
    "disable": False,
    "excludeRecursion": True,
    "preventRecursion": False,
    "delayUntilRecursion": 2,
    "probability": 80,
    "useProbability": True,
    "depth": 2,
    "group": "a, b",
    "groupOverride": False,
    "groupWeight": 100,
    "scanDepth": None,
    "caseSensitive": None,
    "matchWholeWords": False,
    "useGroupScoring": None,
    "automationId": "",
    "role": 1,
    "sticky": 0,
    "cooldown": None,
    "delay": 0,
    "displayIndex": 3,
    "characterFilter": {"isExclude": True, "names": ["Bo"], "tags": []},
    "fromAnExtension": {"kept": True},
}
KOBOLD = {
    "key": "cat, dog",
    "keysecondary": "house",
    "keyanti": "toy",
    "content": "Pets.",
    "comment": "c",
    "folder": None,
    "selective": True,
    "constant": False,
    "probability": "50",
    "wigroup": "General",
    "widisabled": False,
}


def test_sillytavern_comes_in_and_goes_out_as_it_was() -> None:
    world = {"entries": {"3": SILLYTAVERN}, "originalData": {"x": 1}}
    book, notes = read_lorebook_value(world, "w.json")
    (entry,) = read_book(book, "w").entries
    assert notes == () and (entry.position, entry.depth, entry.role, entry.logic) == (AT_DEPTH, 2, "user", NOT_ALL)
    assert (entry.probability, entry.groups, entry.recursion_level, entry.whole_words) == (80, ("a", "b"), 2, False)
    assert entry.not_for == ("Bo",) and entry.exclude_recursion and not entry.use_regex
    back = as_sillytavern(book)
    assert back["entries"] == {"0": SILLYTAVERN} and back["originalData"] == {"x": 1}


def test_koboldcpp_is_read_from_a_story_or_alone() -> None:
    story = {"gamestarted": True, "memory": "m", "worldinfo": [KOBOLD], "savedsettings": {"wi_searchdepth": 0}}
    book, notes = read_lorebook_value(story, "s.json")
    assert notes == ("Only its world info was imported, not its memory.",) and book["scan_depth"] == 1000
    for value in (story, [KOBOLD]):
        (entry,) = read_book(read_lorebook_value(value, "s.json")[0], "s").entries
        assert (entry.keys, entry.secondary, entry.decorators.exclude_keys) == (("cat", "dog"), ("house",), ("toy",))
        assert (entry.content, entry.probability, entry.enabled) == ("Pets.", 50, True)


@pytest.mark.parametrize(
    "value",
    [
        {"lorebookVersion": 5, "entries": [{"text": "Pets.", "keys": ["cat"], "displayName": "x", "enabled": True}]},
        {"kind": "memory", "name": "n", "entries": [{"entry": "Pets.", "keywords": ["cat"], "enabled": True}]},
        {"type": "risu", "ver": 1, "data": [{"key": "cat", "content": "Pets.", "mode": "normal"}]},
        {"spec": "lorebook_v3", "data": {"entries": [{"keys": ["cat"], "content": "Pets."}]}},
        {"spec": "chara_card_v2", "data": {"character_book": {"entries": [{"keys": ["cat"], "content": "Pets."}]}}},
        {"entries": [{"keys": ["cat"], "content": "Pets."}]},
    ],
    ids=["novelai", "agnai", "risu", "v3", "card", "book"],
)
def test_other_programs_are_read(value: dict[str, Any]) -> None:
    (entry,) = read_book(read_lorebook_value(value, "x.json")[0], "x").entries
    assert (entry.keys, entry.content, entry.enabled) == (("cat",), "Pets.", True)


@pytest.mark.parametrize("value", [[], {}, 5, None, {"entries": 5}, {"entries": [{"x": 1}]}, {"data": {}}, [1]])
def test_what_is_no_lorebook_is_a_sentence(value: object) -> None:
    with pytest.raises(CardError, match=r"\. Choose"):
        read_lorebook_value(value, "x.json")


def test_books_are_stored_under_free_names_and_come_back(tmp_path: Path) -> None:
    books = Lorebooks(tmp_path / "lorebooks")
    world = {"name": "../W: 1", "entries": {"3": SILLYTAVERN}}
    first, _ = books.import_file(json.dumps(world).encode(), "w.json")
    second, _ = books.import_file(json.dumps(world).encode(), "w.json")
    assert (first, second) == ("W 1", "W 1 2") and books.size(first) == 1
    assert json.loads(books.export(first, "sillytavern"))["entries"]["0"] == SILLYTAVERN
    books.save(first, books.load(first), everywhere=True)
    assert books.is_everywhere(first) and [book.name for book in books.chosen([])[0]] == [first]
    books.save(first, books.load(first))
    assert books.is_everywhere(first), "saving without the choice leaves it"
    card = write_png_card(
        plain_picture(4, 4), {"chara": json.dumps({"data": {"name": "A", "first_mes": "x"}}).encode()}, {}, "x"
    )
    with pytest.raises(CardError, match="has no lorebook"):
        books.import_file(card, "a.png")
    (tmp_path / "lorebooks" / "broken.json").write_text("{")
    assert books.chosen(["broken"])[1][0].startswith("The lorebook broken cannot be read: ")
    books.delete(first)
    assert first not in books.names()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets only admins make links")
def test_a_file_that_has_no_name_here_does_not_hinder_the_others(tmp_path: Path) -> None:
    books, personas = Lorebooks(tmp_path / "lorebooks"), Personas(tmp_path / "personas")
    books.save("", {"name": "World", "entries": []}, everywhere=True)
    personas.save("", Persona("Sam", default=True))
    for folder, ending in (("lorebooks", "json"), ("personas", "yaml")):
        (tmp_path / f"away.{ending}").write_text("{}")
        (tmp_path / folder / f"a link.{ending}").symlink_to(tmp_path / f"away.{ending}")
        (tmp_path / folder / f"{'long' * 40}.{ending}").write_text("{}")
        (tmp_path / folder / f"a circle.{ending}").symlink_to(f"a circle.{ending}")
    assert [book.name for book in books.chosen([])[0]] == ["World"]
    assert books.chosen(["a link"])[1] == [
        "'a link.json' is a link that leads out of lorebooks/. Put the file itself there."
    ]
    assert personas.choose("", "")[0] == "Sam"
    assert personas.save("", Persona("Ada", default=True)) == "Ada"
    assert personas.choose("", "")[0] == "Ada"
