"""Characters are imported, edited and exported, and nothing is lost on the way."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from modules.chat.attachments.model_images import ModelImages
from modules.chat.characters import Characters
from modules.chat.roleplay.card_archive import CardArchive, write_archive
from modules.chat.roleplay.card_error import CardError
from modules.chat.roleplay.card_png import plain_picture, read_png_card, write_png_card
from modules.chat.roleplay.character_library import CharacterLibrary

PICTURE = plain_picture(8, 8)
BOOK = {
    "name": "Lore",
    "extensions": {"x": 1},
    "entries": [{"keys": ["a"], "content": "b", "enabled": True, "insertion_order": 3, "extensions": {"odd": [1]}}],
}
DATA: dict[str, Any] = {
    "name": "Zoë",
    "description": "<script>alert(1)</script> {{char}}",
    "personality": "calm",
    "scenario": "",
    "first_mes": "Hi",
    "mes_example": "<START>\n{{user}}: x",
    "creator_notes": "notes",
    "system_prompt": "Be Zoë. {{original}}",
    "post_history_instructions": "Short.",
    "alternate_greetings": ["Hey", "Yo"],
    "character_book": BOOK,
    "tags": ["one"],
    "creator": "me",
    "character_version": "1",
    "extensions": {
        "depth_prompt": {"prompt": "deep", "depth": 3, "role": "user"},
        "other/app": {"deep": [1, {"x": None}]},
    },
    "unknown": {"kept": True},
}
V2 = {"spec": "chara_card_v2", "spec_version": "2.0", "data": DATA, "top": 1}
V3 = {
    "spec": "chara_card_v3",
    "spec_version": "3.0",
    "data": {
        **DATA,
        "group_only_greetings": ["All!"],
        "nickname": "Z",
        "assets": [
            {"type": "icon", "uri": "embeded://assets/icon/images/a.png", "name": "main", "ext": "png"},
            {"type": "x_voice", "uri": "embeded://assets/x_voice/audio/v.ogg", "name": "v", "ext": "ogg"},
        ],
        "source": ["https://example.com"],
        "creation_date": 5,
    },
}
FILES = {"assets/icon/images/a.png": PICTURE, "assets/x_voice/audio/v.ogg": b"\x00ogg", "app.json": b"{}"}


@pytest.fixture
def library(tmp_path: Path) -> CharacterLibrary:
    return CharacterLibrary(Characters(tmp_path / "characters"), ModelImages(tmp_path / "images"))


def json_of(content: bytes) -> Any:
    return json.loads(content)


@pytest.mark.parametrize("card", [V2, V3, {"name": "A", "first_mes": "x", "extra": 1}], ids=["v2", "v3", "v1"])
def test_json_comes_back_as_it_was(library: CharacterLibrary, card: dict[str, Any]) -> None:
    name, notes = library.import_file(json.dumps(card).encode(), "card.json")
    assert len(notes) == 1 and any(word in notes[0] for word in ("unknown", "extra"))
    assert json_of(library.export(name, "json").content) == card


@pytest.mark.parametrize(("card", "keyword"), [(V2, "chara"), (V3, "ccv3")], ids=["v2", "v3"])
def test_a_png_comes_back_with_its_card_picture_and_files(
    library: CharacterLibrary, card: dict[str, Any], keyword: str
) -> None:
    raw = write_png_card(PICTURE, {keyword: json.dumps(card).encode()}, {"v.ogg": b"sound"}, "x")
    name, _ = library.import_file(raw, "z.png")
    found = read_png_card(library.export(name, "png").content, "z.png")
    again = json_of(found.cards[keyword])
    if keyword == "ccv3":
        # Files inside are named as a PNG file names them.
        assert again["data"]["assets"][1]["uri"] == "__asset:assets/x_voice/audio/v.ogg"
        again["data"]["assets"] = V3["data"]["assets"]  # type: ignore[index]
        second = json_of(found.cards["chara"])
        assert second["spec"] == "chara_card_v2" and "Character Card V3" in second["data"]["creator_notes"]
    assert again == card and found.image == PICTURE and found.assets == {"v.ogg": b"sound"}


def test_an_archive_comes_back_with_every_file(library: CharacterLibrary) -> None:
    name, notes = library.import_file(write_archive(json.dumps(V3).encode(), FILES), "z.charx")
    assert len(notes) == 1 and "unknown" in notes[0] and name == "Zoë"
    archive = CardArchive(library.export(name, "charx").content, "z")
    assert json_of(archive.card()) == V3 and archive.assets() == FILES
    inside = json_of(library.export(name, "json").content)["data"]["assets"]
    assert inside[1]["uri"].startswith("data:application/octet-stream;base64,")


def test_an_archive_behind_a_picture_is_read(library: CharacterLibrary) -> None:
    name, _ = library.import_file(b"\xff\xd8\xff" + write_archive(json.dumps(V3).encode(), FILES), "z.jpg")
    assert name == "Zoë"


def test_textgen_yaml_comes_back_as_it_was(library: CharacterLibrary) -> None:
    raw = "name: Ada\ngreeting: |-\n  Hi\n  there\ncontext: Counts.\nown: {deep: [1]}\n"
    name, _ = library.import_file(raw.encode(), "Ada.yaml")
    assert yaml.safe_load(library.export(name, "yaml").content) == yaml.safe_load(raw)
    card = json_of(library.export(name, "v2").content)
    assert (card["data"]["description"], card["data"]["first_mes"], card["data"]["own"]) == (
        "Counts.",
        "Hi\nthere",
        {"deep": [1]},
    )
    other = library.import_file(json.dumps(V2).encode(), "z.json")[0]
    made = yaml.safe_load(library.export(other, "yaml").content)
    assert made["greeting"] == "Hi" and "Be Zoë." in made["context"] and made["alternate_greetings"] == ["Hey", "Yo"]


def test_an_edit_changes_its_fields_and_nothing_else(library: CharacterLibrary) -> None:
    name, _ = library.import_file(json.dumps(V2).encode(), "z.json")
    library.save(name, {"personality": "loud", "greetings": ["Hi", "New"], "description": DATA["description"]})
    expected = {**V2, "data": {**DATA, "personality": "loud", "alternate_greetings": ["New"]}}
    assert json_of(library.export(name, "json").content) == expected
    both = {"name": "Bo", "description": "old", "spec": "chara_card_v2", "data": {"name": "Bo", "description": "old"}}
    name, _ = library.import_file(json.dumps(both).encode(), "b.json")
    library.save(name, {"description": "new"})
    found = json_of(library.export(name, "json").content)
    assert found["description"] == found["data"]["description"] == "new"


def test_an_edit_changes_a_field_that_a_file_has_under_two_names(library: CharacterLibrary) -> None:
    # The form of CharacterEditor for TavernAI and Pygmalion at once.
    twice = {"char_name": "Bo", "char_persona": "old", "world_scenario": "sea", "char_greeting": "Hi"}
    twice |= {"name": "Bo", "description": "old", "personality": "calm", "scenario": "sea", "first_mes": "Hi"}
    name, _ = library.import_file(json.dumps({**twice, "context": ""}).encode(), "b.json")
    library.save(name, {"name": "Cy", "description": "new", "scenario": "land", "greetings": ["Yo"]})
    who = library._characters.load(name)
    assert (who.name, who.context, who.greetings) == ("Cy", "new\nPersonality: calm\nScenario: land", ("Yo",))
    assert {"char_name": "Cy", "char_persona": "new", "context": ""}.items() <= who.value.items()
    other, _ = library.import_file(json.dumps({"description": "one", "context": "two", "name": "D"}).encode(), "d.json")
    library.save(other, {"description": "new"})
    assert library._characters.load(other).context == "two\nnew"


def test_a_new_character_is_a_whole_card(library: CharacterLibrary) -> None:
    name = library.save(
        "", {"name": "New/One", "greetings": ["a", "b"], "depth_prompt": {"prompt": "p", "depth": 2, "role": "system"}}
    )
    assert name == "New One"
    card = json_of(library.export(name, "json").content)
    assert card["spec"] == "chara_card_v3" and card["data"]["alternate_greetings"] == ["b"]
    assert card["data"]["extensions"]["depth_prompt"]["depth"] == 2 and card["data"]["group_only_greetings"] == []
    assert library.save("", {"name": "New/One"}) == "New One 2"
    with pytest.raises(CardError, match="needs a name"):
        library.save("", {"name": " "})


def test_a_picture_is_set_copied_and_moved_to_the_trash(library: CharacterLibrary, tmp_path: Path) -> None:
    characters = Characters(tmp_path / "characters")
    (tmp_path / "characters").mkdir()
    (tmp_path / "characters" / "Zoë.png").write_bytes(
        write_png_card(PICTURE, {"chara": json.dumps(V2).encode()}, {}, "x")
    )
    assert characters.names() == ["Zoë"] and characters.load("Zoë").card.tags == ("one",)
    library.set_picture("Zoë", plain_picture(9, 9))
    assert characters.load("Zoë").card.tags == ("one",), "the card was in the picture that is replaced"
    copy = library.duplicate("Zoë")
    assert copy == "Zoë 2" and characters.picture(copy) is not None
    with pytest.raises(CardError, match="is damaged, or no picture"):
        library.set_picture("Zoë", b"GIF8 not a picture")
    characters.delete("Zoë")
    assert characters.names() == ["Zoë 2"]


def test_archives_that_unpack_to_too_much_or_are_encrypted_are_refused(library: CharacterLibrary) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("card.json", json.dumps(V3))
        for number in range(4):
            archive.writestr(f"{number}.bin", bytes(100_000_000))
    with pytest.raises(CardError, match="unpacks to more than 300 MB"):
        library.import_file(target.getvalue(), "bomb.charx")
    with pytest.raises(CardError, match=r"has no card\.json"):
        library.import_file(write_archive(None, {"a": b"b"}), "x.charx")


@pytest.mark.parametrize("raw", [b"", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04broken", b"GIF89a", b"[]", b'{"data": 5}'])
def test_what_is_no_character_is_a_sentence(library: CharacterLibrary, raw: bytes) -> None:
    with pytest.raises(CardError, match=r"\. [A-Z]"):
        library.import_file(raw, "x.bin")


def test_lone_surrogates_and_odd_names_are_stored(library: CharacterLibrary) -> None:
    raw = b'{"name": "../\\ud83d x:*?", "first_mes": "\\udc00", "tags": ["\\ud800"]}'
    name, _ = library.import_file(raw, "x.json")
    assert "/" not in name and ".." not in name
    assert json_of(library.export(name, "png").name.encode().join([b'"', b'"'])) == f"{name}.png"
