"""KoboldCpp's saved stories as they look: instructions, chats, adventures, branches and pictures."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chat.import_formats.reading import all_texts, read_one, shown


def _story(pieces: list[str], mode: int, **more: Any) -> dict[str, Any]:
    settings = {
        "opmode": mode, "chatname": "Ann", "chatopponent": "Heron", "instruct_starttag": "\\n### Instruction:\\n",
        "instruct_endtag": "\\n### Response:\\n", "raw_instruct_tags": False, **more.pop("settings", {}),
    }  # fmt: skip
    return {
        "gamestarted": True, "prompt": pieces[0], "memory": "", "authorsnote": "", "anotetemplate": "[<|>]",
        "actions": pieces[1:], "actions_metadata": {"0": {"Selected Text": "", "Alternative Text": []}},
        "worldinfo": [], "wifolders_d": {}, "wifolders_l": [], "anotestr": 320, "savedsettings": settings,
        "savedaestheticsettings": {}, **more,
    }  # fmt: skip


TALK = [("user", [("text", "Legs?")]), ("assistant", [("text", "Two.\nOr so.")]), ("user", [("text", "Thanks")])]


@pytest.mark.parametrize(
    "story",
    [
        _story(["\n{{[INPUT]}}\nLegs?\n{{[OUTPUT]}}\n", "Two.\nOr so.", "\n{{[INPUT]}}\nThanks"], 4),
        _story(["{{[INPUT]}}Legs?{{[INPUT_END]}}{{[OUTPUT]}}", "Two.\nOr so.{{[OUTPUT_END]}}{{[INPUT]}}Thanks"], 4),
        _story(["\n### Instruction:\nLegs?\n### Response:\n", "Two.\nOr so.", "\n### Instruction:\nThanks"], 4,
               settings={"raw_instruct_tags": True}),
        _story(["\nAnn: Legs?\nHeron:", " Two.\nOr so.", "\nAnn: Thanks"], 3),
    ],
)  # fmt: skip
def test_turns_are_found(story: dict[str, Any]) -> None:
    assert shown(read_one(story)) == TALK


def test_an_adventure_and_a_plain_story_are_read() -> None:
    adventure = _story(["You see a pond.", "\n\n> Wade in\n\n", "It is cold."], 2)
    assert shown(read_one(adventure)) == [
        ("assistant", [("text", "You see a pond.")]),
        ("user", [("text", "Wade in")]),
        ("assistant", [("text", "It is cold.")]),
    ]
    assert shown(read_one(_story(["Once ", "upon a pond."], 1))) == [("assistant", [("text", "Once upon a pond.")])]


def test_memory_is_the_system_prompt_and_several_characters_are_named() -> None:
    story = _story(
        ["\nHeron: Kraa.\nDuck: Quack.\nAnn: Hush"], 3, memory="A pond.", settings={"chatopponent": "Heron||$||Duck"}
    )
    chat = read_one(story)
    assert chat.settings == {"system": "A pond."}
    assert [entry["meta"] for entry in chat.messages] == [{"speaker": "Heron"}, {"speaker": "Duck"}, {}]


def test_branches_reasoning_and_pictures_are_kept() -> None:
    start = "\n{{[INPUT]}}\nLegs?\n{{[OUTPUT]}}\n"
    story = _story([start, "<think>Hm.</think>Two.[<|p|data:image/png;base64,AAAA|p|>]"], 4,
                   altbranches=[None, [start, "Three."]])  # fmt: skip
    chat = read_one(story)
    assert shown(chat) == [TALK[0], ("assistant", [("reasoning", "Hm."), ("text", "Two.[image]")])]
    assert len([entry for entry in chat.messages if entry["role"] == "user"]) == 1
    assert "Three." in all_texts(chat)


def test_a_story_of_marks_alone_is_read_in_a_moment() -> None:
    odd = "[<|p|" * 50_000 + "<t2i>" * 50_000
    assert all_texts(read_one(_story([odd], 1))) == odd


def test_a_story_without_settings_is_one_text() -> None:
    story = {**_story(["Once"], 1), "savedsettings": None, "actions": [5, None, " upon"], "memory": 7}
    assert all_texts(read_one(story)) == "Once5 upon"
