"""What the worker gets of a scene: the order of its parts, texts at a depth, groups, personas, and the cache."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modules.chat.characters import CharacterError
from modules.chat.messages import ChatOptions, NotSaved
from modules.chat.parts_reader import USUAL
from modules.chat.roleplay.card_fields import CardFields, DepthPrompt
from modules.chat.roleplay.character_library import CharacterLibrary
from modules.chat.roleplay.group_settings import Group
from modules.chat.roleplay.named_reader import NamedReader
from modules.chat.roleplay.personas import Persona
from modules.chat.roleplay.scene_settings import NO_PERSONA, scene_options
from modules.chat.roleplay.speakers import next_speakers
from modules.generation.generation import Generation
from modules.protocol.commands import Generate
from modules.protocol.sampling import SamplingParams
from tests.chat.conftest import ENDLESS, Room

PARAMS = SamplingParams(max_new_tokens=8)


@pytest.fixture
def seen(room: Room, monkeypatch: pytest.MonkeyPatch) -> list[Generate]:
    """Return the list of what the worker gets."""
    asked: list[Generate] = []
    generate = room.supervisor.generate_chat

    def note(request: Generate, *more: Any) -> Generation:
        asked.append(request)
        return generate(request, *more)

    monkeypatch.setattr(room.supervisor, "generate_chat", note)
    return asked


def make(room: Room, name: str, **fields: Any) -> None:
    """Store a character."""
    CharacterLibrary(room.characters, room.service.files._model_images).save("", {"name": name, **fields})


def said(request: Generate) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in request.messages]


def lore(position: object, text: str, **more: Any) -> dict[str, Any]:
    extensions = {"position": position, "exclude_recursion": False, **more}
    return {"keys": ["castle"], "content": text, "enabled": True, "insertion_order": 5, "extensions": extensions}


def test_the_parts_of_a_scene_have_their_order(room: Room, seen: list[Generate]) -> None:
    book = {"entries": [lore(0, "BEFORE"), lore(1, "AFTER"), lore(4, "DEEP {{char}}", depth=1, role=1), lore(2, "TOP")]}
    make(
        room,
        "Ada",
        description="{{char}} counts.",
        system_prompt="Play. {{original}}",
        post_history_instructions="End.",
        mes_example="<START>\n{{user}}: x",
        character_book=book,
        greetings=["Hello {{user}}"],
    )
    chat = room.service.create("Ada", "Kim").id
    options = ChatOptions(
        system="Mine.", name1="Kim", persona="{{user}} is old.", note=DepthPrompt("NOTE", 0, "system")
    )
    room.service.send(chat, "to the castle, {{char}}", PARAMS, options)
    room.settle(chat)
    assert said(seen[0]) == [
        ("system", "Play. Mine.\n\nBEFORE\n\nKim is old.\n\nAda counts.\nKim: x\n\nAFTER"),
        ("assistant", "Hello Kim"),
        ("user", "DEEP Ada"),
        ("user", "to the castle, Ada"),
        ("system", "TOP\nNOTE\n\nEnd."),
    ]
    reply = room.service.messages(chat)[-1]
    assert reply.meta["speaker"] == "Ada"
    assert [(one["book"], one["entry"], one["why"]) for one in reply.meta["lore"]][0] == ("of Ada", "castle", "castle")


def test_what_is_near_the_end_leaves_the_prefix_in_the_cache(room: Room, seen: list[Generate]) -> None:
    make(room, "Ada", description="{{random:a,b,c}} {{roll:d100}} {{pick:x,y}}", post_history_instructions="End.")
    chat = room.service.create("Ada").id
    options = ChatOptions(note=DepthPrompt("NOTE", 2, "system"))
    for text in ("one {{roll:d1000}}", "two", "three", "four"):
        room.service.send(chat, text, PARAMS, options)
        room.settle(chat)
    before, after = said(seen[2]), said(seen[3])
    same = next(place for place, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1])
    # system, two questions with replies; then the note, the last two messages and the instructions.
    assert before[3][1] == "NOTE" or before[4][1] == "NOTE"
    assert same == [text for _, text in before].index("NOTE")


def test_greetings_are_versions_of_the_first_message(room: Room) -> None:
    make(room, "Ada", greetings=["One", "Two {{user}}", "Three"])
    chat = room.service.create("Ada", "Kim").id
    (first,) = room.service.messages(chat)
    assert (first.text, first.version, first.versions, first.meta["speaker"]) == ("One", 1, 3, "Ada")
    room.service.switch(chat, first.id, 2)
    assert room.texts(chat) == ["Two Kim"]


def test_lorebooks_of_a_chat_and_everywhere_are_used(room: Room, seen: list[Generate]) -> None:
    books = room.service.lorebooks
    books.save("", {"name": "Here", "entries": [lore(0, "HERE")]}, everywhere=False)
    books.save("", {"name": "All", "entries": [lore(0, "ALL")]}, everywhere=True)
    chat = room.service.create().id
    room.service.send(chat, "castle", PARAMS, ChatOptions(lorebooks=("Here", "Gone")))
    room.settle(chat)
    assert said(seen[0])[0] == ("system", "HERE\nALL")
    assert any("no lorebook named 'Gone'" in note for note in room.service.messages(chat)[-1].meta["notes"])


def test_a_group_speaks_in_its_order(room: Room, seen: list[Generate]) -> None:
    for name in ("Ada", "Bo"):
        make(room, name, description=f"I am {name}.")
    chat = room.service.create().id
    options = ChatOptions(name1="Kim", group=Group(("Ada", "Bo", "Gone"), "list"))
    room.service.send(chat, "hello", PARAMS, options)
    room.until(chat, lambda: len(room.service.messages(chat)) == 3 and room.service.live_reply(chat) is None)
    replies = room.service.messages(chat)[1:]
    assert [reply.meta["speaker"] for reply in replies] == ["Ada", "Bo"]
    assert said(seen[0])[:2] == [("system", "I am Ada."), ("user", "Kim: hello")]
    assert said(seen[1])[0] == ("system", "I am Bo.") and said(seen[1])[2][1].startswith("Ada: ")
    assert "only as Bo" in said(seen[1])[-1][1]
    assert {"\nAda:", "\nKim:"} <= set(seen[1].params.stop) and "\nBo:" not in seen[1].params.stop
    again = room.service.regenerate(chat, replies[1].id, PARAMS, options)
    assert next(one for one in room.settle(chat) if one.id == again).meta["speaker"] == "Bo"


def test_in_a_manual_group_only_those_speak_who_are_asked(room: Room) -> None:
    make(room, "Ada")
    chat = room.service.create().id
    options = ChatOptions(group=Group(("Ada",), "manual"))
    room.service.send(chat, "hello", PARAMS, options)
    assert [one.role for one in room.settle(chat)] == ["user"]
    room.service.group_turns.speak(chat, "Ada", PARAMS, options)
    assert [one.meta.get("speaker") for one in room.settle(chat)] == [None, "Ada"]
    with pytest.raises(CharacterError, match="no character named 'Gone'"):
        room.service.group_turns.speak(chat, "Gone", PARAMS, options)


def test_a_stopped_reply_ends_the_round_of_a_group(room: Room) -> None:
    for name in ("Ada", "Bo"):
        make(room, name)
    chat = room.service.create().id
    options = ChatOptions(group=Group(("Ada", "Bo"), "list"))
    room.service.send(chat, "on and on !long", ENDLESS, options)
    room.service.stop(chat)
    assert len(room.settle(chat)) == 2


CARDS = {"a": CardFields("Ada Lovelace"), "b": CardFields("Bo"), "c": CardFields("Cy", talkativeness=0)}


@pytest.mark.parametrize(
    ("order", "text", "expected"),
    [
        ("list", "hi", [["a", "b", "c"]]),
        ("round", "hi", [["a"]]),
        ("random", "hi", [["a"], ["b"], ["c"]]),
        ("natural", "Where are Bo and Lovelace?", [["b", "a"]]),
        ("natural", "Bob and adamant", [["a"], ["b"]]),
        ("manual", "hi", [[]]),
    ],
)
def test_who_speaks_next(room: Room, order: str, text: str, expected: list[list[str]]) -> None:
    chat = room.service.create().id
    room.service.roleplay.insert(chat, "", "user", text)
    path = room.service.messages(chat)
    seen = {tuple(next_speakers(Group(("a", "b", "c"), order), path, CARDS, str(seed))) for seed in range(60)}
    assert sorted(map(list, seen)) == sorted(expected)


def test_messages_are_put_in_anywhere_and_the_former_order_is_kept(room: Room) -> None:
    make(room, "Ada")
    chat = room.service.create().id
    room.ask(chat, "question")
    first, reply = room.service.messages(chat)
    put = room.service.roleplay.insert
    put(chat, first.id, "system", "It rains.")
    put(chat, "", "assistant", "Before.", "Ada")
    assert [one.role for one in room.service.messages(chat)] == ["assistant", "user", "system", "assistant"]
    assert room.service.messages(chat)[2].meta["narrator"] is True
    start = room.service.messages(chat)[0]
    assert (start.versions, start.meta["speaker"]) == (2, "Ada")
    room.service.switch(chat, start.id, 1)
    assert room.texts(chat)[0] == "question"
    for after, role, text in ((reply.id, "tool", "x"), ("", "user", " "), ("gone", "user", "y")):
        with pytest.raises(NotSaved):
            put(chat, after, role, text)


def test_the_model_writes_for_the_user(room: Room, seen: list[Generate]) -> None:
    make(room, "Ada")
    chat = room.service.create("Ada").id
    room.ask(chat, "hello")
    before = room.texts(chat)
    written = "".join(room.service.roleplay.impersonate(chat, PARAMS, ChatOptions(name1="Kim")).pieces)
    assert written and not written.startswith("Kim:")
    assert "next message of Kim" in said(seen[-1])[-1][1]
    assert room.texts(chat) == before
    draft = room.service.roleplay.impersonate(chat, ENDLESS, ChatOptions())
    next(draft.pieces)
    draft.cancel()
    assert len(list(draft.pieces)) < 1_000_000


def test_personas_are_bound_to_chats_characters_or_are_the_default(room: Room) -> None:
    personas = room.service.personas
    kim = personas.save("", Persona("Kim", "A guest.", default=True))
    lee = personas.save("", Persona("Lee", "A host.", characters=("Ada",)))

    def user(character: str, **settings: object) -> str:
        return scene_options(ChatOptions(name1="Me", character=character), settings, personas).name1

    assert (user(""), user("Ada"), user("", persona=lee), user("Ada", persona=kim)) == ("Kim", "Lee", "Lee", "Kim")
    assert user("", persona=NO_PERSONA) == "Me" and user("", persona="gone") == "Me"
    personas.save("", Persona("New", default=True, characters=("Ada",)))
    assert (user(""), user("Ada")) == ("New", "New")
    personas.delete(kim)
    assert personas.names() == [lee, "New"]


def test_a_sticky_entry_stays_for_its_messages_and_then_goes(room: Room) -> None:
    make(room, "Ada", character_book={"entries": [lore(0, "HERE", sticky=4, cooldown=2, scan_depth=1)]})
    chat = room.service.create("Ada").id
    why: list[list[str]] = []
    for text in ("castle", "one", "two", "castle", "castle"):
        room.service.send(chat, text, PARAMS, ChatOptions())
        why.append([one["why"] for one in room.settle(chat)[-1].meta.get("lore", ())])
    assert why == [["castle"], ["still in use"], [], ["castle"], ["still in use"]]


def test_a_changed_text_keeps_who_said_it_and_what_it_rests_on(room: Room) -> None:
    make(room, "Ada", greetings=["Hello"], character_book={"entries": [lore(0, "HERE")]})
    chat = room.service.create("Ada").id
    room.service.send(chat, "castle", PARAMS, ChatOptions())
    reply = room.settle(chat)[-1]
    told = room.service.roleplay.insert(chat, reply.id, "system", "Night falls.")
    for message in (told, reply.id, room.service.messages(chat)[0].id):
        room.service.edit(chat, message, "Changed.")
    greeting, _, changed, narrator = room.service.messages(chat)
    assert [one.text for one in (greeting, changed, narrator)] == ["Changed."] * 3
    assert greeting.meta["speaker"] == changed.meta["speaker"] == "Ada" and narrator.meta["narrator"]
    assert changed.meta["lore"] == reply.meta["lore"] and changed.meta["edited"]


def test_outlets_are_filled_wherever_they_stand(room: Room, seen: list[Generate]) -> None:
    book = {"entries": [lore(7, "OUT", outlet_name="Spot"), lore(1, "<{{outlet::spot}}{{outlet::none}}>")]}
    make(room, "Ada", description="Ada {{outlet::Spot}} {{outlet::none}}.", character_book=book)
    chat = room.service.create("Ada").id
    options = ChatOptions(system="Mine {{outlet::spot}}.", note=DepthPrompt("{{outlet::none}}", 0, "system"))
    room.service.send(chat, "castle", PARAMS, options)
    room.settle(chat)
    assert said(seen[0]) == [("system", "Mine OUT.\n\nAda OUT .\n\n<OUT>"), ("user", "castle")]


def test_files_whose_names_cannot_be_used_stop_no_reply(room: Room) -> None:
    for folder in ("lorebooks", "personas"):
        place = room.service.store.database.path.parent / folder
        place.mkdir(exist_ok=True)
        (place / f"{'x' * 120}.{'json' if folder == 'lorebooks' else 'yaml'}").write_text("{}", "utf-8")
    room.service.personas.save("", Persona("Kim", default=True))
    assert scene_options(ChatOptions(), {}, room.service.personas).name1 == "Kim"
    chat = room.service.store.create_chat(character="a/b").id
    room.service.send(chat, "hello", PARAMS, ChatOptions(lorebooks=("c/d",)))
    notes = " ".join(room.settle(chat)[-1].meta["notes"])
    assert "written without the character. 'a/b' is not a valid name" in notes and "'c/d' is not" in notes


def test_a_reply_that_is_only_the_beginning_of_the_speakers_name_is_kept() -> None:
    for written, shown in (("Ada", "Ada"), ("A", "A"), ("Ada: Yes", "Yes"), ("Adam", "Adam")):
        reader = NamedReader(USUAL, names=("Ada",))
        for letter in written:
            reader.feed(letter)
        reader.finish()
        assert [part.text for part in reader.parts()] == [shown]


def test_a_scene_with_broken_settings_is_as_if_they_were_missing() -> None:
    wrong = {"note": 5, "group": {"members": 7, "order": "x"}, "lorebooks": {"a": 1}, "persona": []}
    assert scene_options(ChatOptions(), wrong, None) == ChatOptions()
    assert replace(ChatOptions(), note=DepthPrompt("x", 4, "system")) == scene_options(
        ChatOptions(), {"note": {"text": "x", "depth": "many", "role": "king"}}, None
    )
