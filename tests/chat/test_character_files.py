"""Characters that other programs wrote: what is in them arrives, and what does not is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modules.chat.character_file import parse_character
from modules.chat.characters import Character, CharacterError, Characters

EMOJI = r'{"name": "Fox \ud83e\udd8a", "context": "{{char}} \ud83e\udd8a", "greeting": "Hello \ud83d\ude00!"}'
CARD: dict[str, Any] = {
    "name": "Lena",
    "description": "{{char}} is a librarian.",
    "personality": "calm",
    "scenario": "A library.",
    "first_mes": "Welcome, {{user}}.",
    "mes_example": "<START>\n{{user}}: Hi\n{{char}}: Hello.",
}
LENA = Character(
    "Lena",
    "{{char}} is a librarian.\nPersonality: calm\nScenario: A library.\n{{user}}: Hi\n{{char}}: Hello.",
    "Welcome, {{user}}.",
)
PYGMALION = {
    "char_name": "Milo",
    "char_persona": "Milo is a cook.",
    "char_greeting": "Hungry?",
    "world_scenario": "A kitchen.",
    "example_dialogue": "You: Hi\nMilo: Yes?",
}


def load(folder: Path, text: str | bytes, name: str = "x.json") -> Character:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return Characters(folder).load(name.rpartition(".")[0])


def known(character: Character) -> tuple[str, str, str]:
    return character.name, character.context, character.greeting


@pytest.mark.parametrize("name", ["x.json", "x.yaml"])
def test_emoji_in_surrogate_pairs_are_joined(tmp_path: Path, name: str) -> None:
    assert known(load(tmp_path, EMOJI, name)) == ("Fox 🦊", "{{char}} 🦊", "Hello 😀!")


@pytest.mark.parametrize("name", ["x.json", "x.yaml"])
def test_json_is_read_with_tabs_comments_left_aside_and_raw_line_breaks(tmp_path: Path, name: str) -> None:
    tabs = '{\n\t"name":\t"Tabby",\n\t"context": "A\tcat.\nOld.",\n\t"greeting": "Meow."\n}'
    assert known(load(tmp_path, tabs, name)) == ("Tabby", "A\tcat.\nOld.", "Meow.")
    assert known(load(tmp_path, b"\xef\xbb\xbf" + tabs.encode(), name))[0] == "Tabby"
    assert known(load(tmp_path, tabs.encode("utf-16"), name))[0] == "Tabby"


def test_json_with_a_comma_too_many_is_read_as_yaml_takes_it(tmp_path: Path) -> None:
    assert known(load(tmp_path, '{"name": "A", "greeting": "Hi",}')) == ("A", "", "Hi")


@pytest.mark.parametrize(
    "card",
    [
        CARD,
        {"spec": "chara_card_v2", "spec_version": "2.0", "data": CARD},
        {"spec": "chara_card_v3", "spec_version": "3.0", "data": {**CARD, "assets": [], "nickname": "L"}},
        {"name": "of the file", "data": CARD},
        {"Name": "Lena", "firstMes": CARD["first_mes"], "mes-example": CARD["mes_example"]}
        | {key: CARD[key] for key in ("description", "personality", "scenario")},
    ],
)
def test_cards_of_every_version_say_the_same(tmp_path: Path, card: dict[str, Any]) -> None:
    character = load(tmp_path, json.dumps(card))
    assert character == Character(*known(LENA), character.extra)
    assert character.notes == ()


def test_pygmalion_and_older_keys_are_understood(tmp_path: Path) -> None:
    assert known(load(tmp_path, json.dumps(PYGMALION))) == (
        "Milo",
        "Milo is a cook.\nScenario: A kitchen.\nYou: Hi\nMilo: Yes?",
        "Hungry?",
    )
    robo = load(tmp_path, "bot: Robo\nuser: Sam\ngreeting: Beep\ncontext: Robo beeps.\n", "r.yaml")
    assert known(robo) == ("Robo", "Robo beeps.", "Beep")
    dump = {"participant__name": "Bo", "description": "A bot.", "greeting": "Hi", "definition": "{{char}}: Yes."}
    assert known(load(tmp_path, json.dumps([dump]))) == ("Bo", "A bot.\n{{char}}: Yes.", "Hi")
    wrapped = {"character": {"aiName": "Ada", "aiPersona": "clever", "firstMessage": "Yo", "scenario": "home"}}
    assert known(load(tmp_path, json.dumps(wrapped))) == ("Ada", "clever\nScenario: home", "Yo")
    agnai = {"kind": "character", "name": "Ann", "greeting": "Hi", "sampleChat": "a: b"}
    persona = {"persona": {"kind": "boostyle", "attributes": {"mind": ["sharp", "quick"], "age": ["40"]}}}
    assert known(load(tmp_path, json.dumps(agnai | persona)))[1] == "sharp\nquick\n40\na: b"


def test_scalars_stay_as_they_are_written(tmp_path: Path) -> None:
    assert known(load(tmp_path, "name: 007\ngreeting: 1_000\ncontext: yes\n", "n.yaml")) == ("007", "yes", "1_000")
    assert known(load(tmp_path, "name: 2024-01-01\ngreeting: 1:30\ncontext: 0x1F\n", "d.yaml")) == (
        "2024-01-01",
        "0x1F",
        "1:30",
    )
    assert known(load(tmp_path, '{"name": 7, "greeting": true, "context": 1.50}')) == ("7", "1.50", "true")
    assert known(load(tmp_path, "name: ~\ngreeting:\ncontext: x", "e.yaml")) == ("e", "x", "")


def test_lists_of_texts_are_lines_and_of_greetings_the_first_counts(tmp_path: Path) -> None:
    listy = load(tmp_path, "name: Listy\ngreeting:\n- Hi\n- Hello\ncontext:\n- one\n- two\n", "l.yaml")
    assert known(listy) == ("Listy", "one\ntwo", "Hi")
    assert listy.notes == () and listy.greetings == ("Hi", "Hello")
    Characters(tmp_path).save("l", listy)
    assert "Hello" in (tmp_path / "l.yaml").read_text()
    again = load(tmp_path, json.dumps({**CARD, "alternate_greetings": ["Hey"]}))
    assert again.notes == () and again.greetings == ("Welcome, {{user}}.", "Hey")


def test_unknown_keys_are_named(tmp_path: Path) -> None:
    odd = {**CARD, "character_book": {"entries": [1]}, "post_history_instructions": "Be brief.", "voice": "deep"}
    character = load(tmp_path, json.dumps(odd))
    (note,) = character.notes
    assert "voice" in note and "character_book" not in note
    assert character.card.post_history_instructions == "Be brief."
    (note, empty) = load(tmp_path, "name: Bo\nlooks: tall\n", "b.yaml").notes
    assert "looks" in note and empty == "It has neither a context nor a greeting."
    (note, empty) = load(tmp_path, "name: Bo\ncontext: {mind: sharp}\n", "c.yaml").notes
    assert "context" in note


@pytest.mark.parametrize(
    "text", ['{"entries": {"0": {"key": ["x"]}}}', "{}", "[]", "7", '"text"', "user: Sam\nuid: 7", ""]
)
def test_a_file_without_a_character_is_refused_and_not_loaded_empty(tmp_path: Path, text: str) -> None:
    for name in ("x.json", "x.yaml"):
        with pytest.raises(CharacterError, match="cannot be read: "):
            load(tmp_path, text, name)


def test_saving_a_card_keeps_its_contents(tmp_path: Path) -> None:
    card = {"spec": "chara_card_v2", "data": {**CARD, "character_book": {"entries": [1]}, "tags": ["x"]}}
    first = load(tmp_path, json.dumps(card))
    Characters(tmp_path).save("x", first)
    second = Characters(tmp_path).load("x")
    assert known(second) == known(first)
    assert second.extra["data"] == {"character_book": {"entries": [1]}, "tags": ["x"]}
    assert (tmp_path / "x.json").is_file(), "the card itself stays"


@pytest.mark.parametrize(
    ("tags", "expected"),
    [("elf, forest", ("elf", "forest")), ("", ()), (None, ()), (["a, b"], ("a, b",)), (["a", None, 3], ("a", "3"))],
)
def test_tags_of_every_type_are_read(tags: object, expected: tuple[str, ...]) -> None:
    raw = json.dumps({"name": "Ada", "first_mes": "Hi", "tags": tags}).encode()
    assert parse_character(raw, "a.json").card.tags == expected
