"""Lorebooks of other programs are read, and written for SillyTavern again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from modules.chat.character_file import parse_character
from modules.chat.roleplay.card_error import CardError
from modules.chat.roleplay.card_png import plain_picture, write_png_card
from modules.chat.roleplay.card_versions import as_version
from modules.chat.roleplay.lore_entry import AT_DEPTH, NOT_ALL, read_book
from modules.chat.roleplay.lore_keys import KeyMatcher, parse_pattern
from modules.chat.roleplay.lorebook_import import as_sillytavern, read_lorebook, read_lorebook_value
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
    "outletName": "",
    "matchScenario": False,
    "triggers": [],
    "ignoreBudget": False,
    "extensions": {"another": 1},
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
    assert back["entries"] == {"3": SILLYTAVERN} and back["originalData"] == {"x": 1}


def test_koboldcpp_is_read_from_a_story_or_alone() -> None:
    story = {"gamestarted": True, "memory": "m", "worldinfo": [KOBOLD], "wisearchdepth": 0}
    book, notes = read_lorebook_value(story, "s.json")
    assert notes == ("Only its world info was imported, not its memory.",) and book["scan_depth"] == 1000
    for value in (story, [KOBOLD]):
        (entry,) = read_book(read_lorebook_value(value, "s.json")[0], "s").entries
        assert (entry.keys, entry.secondary, entry.decorators.exclude_keys) == (("cat", "dog"), ("house",), ("toy",))
        assert (entry.content, entry.probability, entry.enabled) == ("Pets.", 50, True)
        assert (entry.whole_words, entry.case_sensitive) == (False, False)


@pytest.mark.parametrize(
    ("more", "depth", "exclude", "enabled", "case"),
    [
        ({"entry": {"selective": False}}, 1000, (), True, False),
        ({"entry": {"widisabled": True, "keyanti": "", "wigroup": "Sea"}}, 1000, (), False, False),
        ({"wisearchdepth": "2048", "savedsettings": {"case_sensitive_wi": True}}, 10, ("toy",), True, True),
        # What the select of the page writes for the whole story.
        ({"wisearchdepth": "0"}, 1000, ("toy",), True, False),
    ],
)
def test_what_koboldcpp_says_about_the_search(
    more: dict[str, Any], depth: int, exclude: tuple[str, ...], enabled: bool, case: bool
) -> None:
    story = {"worldinfo": [{**KOBOLD, **more.pop("entry", {})}], **more}
    book, _ = read_lorebook_value(story, "s.json")
    (entry,) = read_book(book, "s").entries
    assert (book["scan_depth"], entry.decorators.exclude_keys) == (depth, exclude)
    assert (entry.enabled, entry.case_sensitive) == (enabled, case)


# An entry as NovelAI writes it.
NOVELAI: dict[str, Any] = {
    "text": "Pets.",
    "contextConfig": {
        "prefix": "[ ",
        "suffix": " ]\n",
        "tokenBudget": 1,
        "reservedTokens": 0,
        "budgetPriority": 400,
        "trimDirection": "trimBottom",
        "insertionType": "newline",
        "maximumTrimType": "sentence",
        "insertionPosition": -1,
    },
    "lastUpdatedAt": 1666846259188,
    "displayName": "Pets",
    "id": "bd90161f-4ff6-44a0-8522-0f25ad26aae3",
    "keys": ["cat", "/dogs?/i"],
    "searchRange": 1000,
    "enabled": True,
    "forceActivation": False,
    "keyRelative": False,
    "nonStoryActivatable": False,
    "category": "c1",
    "loreBiasGroups": [],
    "hidden": False,
    "advancedConditions": [],
}


@pytest.mark.parametrize("version", range(1, 7))
def test_novelai_is_read_in_every_version(version: int) -> None:
    settings = {"settings": {"orderByKeyLocations": False}, "categories": [{"id": "c1", "name": "x", "enabled": True}]}
    lore: dict[str, Any] = {"lorebookVersion": version, "entries": [NOVELAI], **(settings if version > 1 else {})}
    for value in (lore, {"scenarioVersion": 3, "title": "T", "prompt": "p", "lorebook": lore}):
        book, notes = read_lorebook_value(value, "x.lorebook")
        (entry,) = read_book(book, "").entries
        assert (entry.keys, entry.content, entry.order, notes) == (("cat", "/dogs?/i"), "[ Pets. ]", 400, ())
        assert entry.enabled and entry.exclude_recursion and entry.id == NOVELAI["id"]
    assert book["name"] == "T"
    png = write_png_card(plain_picture(4, 4), {"naidata": json.dumps(lore).encode()}, {}, "x")
    assert read_lorebook(png, "x.png")[0] == read_lorebook_value(lore, "x.lorebook")[0]


def test_novelais_categories_and_conditions() -> None:
    conditions = [{"type": "key", "key": "cat"}]
    entries = [NOVELAI, {**NOVELAI, "category": "", "nonStoryActivatable": True, "advancedConditions": conditions}]
    entries.append({**NOVELAI, "keys": [], "advancedConditions": conditions})
    lore = {"lorebookVersion": 6, "entries": entries, "categories": [{"id": "c1", "name": "Off", "enabled": False}]}
    book, notes = read_lorebook_value(lore, "x.lorebook")
    read = read_book(book, "x")
    assert [one.enabled for one in read.entries] == [False, True, False] and read.recursive
    assert notes[0] == "2 of its entries have conditions that Paddock does not know." and "without keys" in notes[1]


def test_agnai_is_read_alone_and_in_a_character() -> None:
    entry = {"name": "n", "entry": "Pets.", "keywords": ["cat", "do*g?"], "priority": 9, "weight": 3, "enabled": True}
    entry |= {"id": 4, "secondaryKeys": ["house"], "selective": True, "position": "after_char", "comment": ""}
    memory = {"kind": "memory", "name": "M", "entries": [entry], "scanDepth": 7, "recursiveScanning": False}
    who = {"kind": "character", "name": "Ada", "greeting": "Hi", "characterBook": {**memory, "kind": "memory"}}
    for value in (memory, who):
        book, _ = read_lorebook_value(value, "x.json")
        (one,) = read_book(book, "").entries
        assert (one.keys[0], one.secondary, one.content, one.priority, one.order) == ("cat", ("house",), "Pets.", 9, 3)
        assert (one.position, book["scan_depth"], book["name"]) == ("after", 7, "M")
        assert parse_pattern(one.keys[1], False) and not KeyMatcher().problems
        found = [
            KeyMatcher().found(one.keys[1], text, case=False, words=True, pattern=False) for text in ("Doings", "do")
        ]
        assert found == [True, False]
    card = parse_character(json.dumps(who).encode(), "a.json").card
    assert card.book is not None and read_book(card.book, "").entries[0].content == "Pets."
    written = as_version(who, card, 3)["data"]
    assert written["character_book"]["entries"][0]["content"] == "Pets." and "characterBook" not in written


def test_risu_is_read_without_its_folders() -> None:
    entry = {"key": "cat, dog", "secondkey": "house", "insertorder": 7, "comment": "c", "content": "Pets."}
    entry |= {"mode": "normal", "alwaysActive": False, "selective": True, "activationPercent": 40, "id": "x1"}
    entry |= {"extentions": {"risu_case_sensitive": True}, "folder": "f", "loreCache": None}
    folder = {"key": "\uf000folder:f", "comment": "New Folder", "content": "", "mode": "folder", "alwaysActive": False}
    book, notes = read_lorebook_value({"type": "risu", "ver": 1, "data": [folder, entry]}, "x.json")
    (one,) = read_book(book, "x").entries
    assert (one.keys, one.secondary, one.probability, one.order) == (("cat", "dog"), ("house",), 40, 7)
    assert one.case_sensitive and not one.whole_words and one.id == "x1" and notes == ()
    _, notes = read_lorebook_value(
        {"type": "risu", "data": [entry, {**entry, "mode": "child", "content": ""}]}, "x.json"
    )
    assert notes == ("1 of its entries only repeat others under more keys and were left out.",)


def test_an_entry_of_a_card_comes_back_from_sillytavern_as_it_was() -> None:
    entry = {
        "keys": ["moon"],
        "secondary_keys": ["sky"],
        "selective": True,
        "content": "It is far.",
        "extensions": {"some": {"thing": 1}},
        "enabled": True,
        "insertion_order": 7,
        "case_sensitive": True,
        "use_regex": False,
        "constant": False,
        "name": "Moon",
        "comment": "about the moon",
        "priority": 3,
        "id": "an id",
        "position": "after_char",
        "new_field": [1],
    }
    book = {"name": "B", "scan_depth": 3, "token_budget": 500, "entries": [entry], "extensions": {}}
    world = as_sillytavern(book)
    assert world["entries"]["0"]["caseSensitive"] is True and "probability" not in world["entries"]["0"]
    assert world["recursive_scanning"] is False
    (back,) = read_lorebook_value(json.loads(json.dumps(world)), "w.json")[0]["entries"]
    assert {**entry, "extensions": None} == {**back, "extensions": None}
    assert back["extensions"]["some"] == {"thing": 1}


def test_a_chance_and_the_logic_of_a_card_count_in_sillytavern() -> None:
    entry = {"keys": ["moon"], "content": "x", "selectiveLogic": 3, "extensions": {"probability": 40}}
    (made,) = as_sillytavern({"entries": [entry]})["entries"].values()
    assert (made["probability"], made["useProbability"], made["selectiveLogic"]) == (40, True, 3)


def test_sillytavern_gets_numbers_that_it_finds_entries_by_and_patterns_between_slashes() -> None:
    ids = [5, 5, "x", None, 0]
    book = {"entries": [{"id": id, "keys": ["a/b", "/c/"], "content": "x", "use_regex": True} for id in ids]}
    entries = as_sillytavern(book)["entries"]
    assert {key: str(one["uid"]) for key, one in entries.items()} == {key: key for key in entries}
    assert len(entries) == 5 and "5" in entries and entries["0"]["key"] == ["/a\\/b/i", "/c/"]
    back = read_book(read_lorebook_value({"entries": entries}, "w.json")[0], "w")
    assert len({one.id for one in back.entries}) == 5
    assert all(one.use_regex for one in back.entries)


def test_entries_that_are_none_are_counted() -> None:
    book, notes = read_lorebook_value({"entries": {"0": SILLYTAVERN, "1": None, "2": "x"}}, "w.json")
    assert len(book["entries"]) == 1 and notes == ("2 of its entries are no objects and were left out.",)


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
    assert (entry.keys, entry.content, entry.enabled, entry.secondary) == (("cat",), "Pets.", True, ())


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
    assert json.loads(books.export(first, "sillytavern"))["entries"]["3"] == SILLYTAVERN
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
