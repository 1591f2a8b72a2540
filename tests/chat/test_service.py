"""Every button of a chat, on the echo loader's real worker."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modules.chat.characters import Character
from modules.chat.messages import ChatOptions, NotSaved, make_title
from modules.chat.parts import raw_text
from modules.generation.generation import Generation
from modules.protocol.commands import Generate
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from tests.chat.conftest import ENDLESS, OPTIONS, PATIENCE, Room

PARAMS = SamplingParams()


def test_a_reply_is_stored_with_its_figures(room: Room) -> None:
    chat = room.service.create().id
    asked, reply = room.ask(chat, "say these five words please")
    assert (asked.role, asked.text) == ("user", "say these five words please")
    assert (reply.role, reply.text, reply.parent) == ("assistant", "say these five words please", asked.id)
    assert reply.meta["model"] == "a-model" and reply.meta["loader"] == "echo" and reply.meta["context"] == 4096
    assert reply.meta["reason"] == "stop" and reply.meta["generated_tokens"] == 5
    assert reply.meta["prompt_tokens"] > 5 and reply.meta["stopped"] is False and "error" not in reply.meta
    assert room.service.head(chat).title == "say these five words please"
    room.service.close()
    room.open()
    assert room.texts(chat) == [asked.text, reply.text]


def test_without_a_model_the_question_is_stored_and_answered_later(empty: Room) -> None:
    chat = empty.service.create().id
    with pytest.raises(PaddockError, match="No model is loaded") as caught:
        empty.service.send(chat, "is anybody there", PARAMS, OPTIONS)
    assert not isinstance(caught.value, NotSaved)
    (asked,) = empty.service.messages(chat)
    assert asked.text == "is anybody there" and empty.service.live_reply(chat) is None
    empty.load()
    empty.service.continue_reply(chat, PARAMS, OPTIONS)
    assert [message.text for message in empty.settle(chat)] == ["is anybody there"] * 2
    empty.service.regenerate(chat, asked.id, PARAMS, OPTIONS)
    assert empty.settle(chat)[-1].versions == 2


def test_nothing_to_send_and_no_such_chat_are_sentences(room: Room) -> None:
    chat = room.service.create().id
    with pytest.raises(NotSaved, match="nothing to send"):
        room.service.send(chat, " \n", PARAMS, OPTIONS)
    with pytest.raises(PaddockError, match="no reply to continue"):
        room.service.continue_reply(chat, PARAMS, OPTIONS)
    with pytest.raises(NotSaved, match="does not exist any more"):
        room.service.send("nowhere", "hello", PARAMS, OPTIONS)
    assert room.texts(chat) == []


def test_a_template_that_fails_is_an_error_and_the_question_stays(room: Room) -> None:
    chat = room.service.create().id
    with pytest.raises(PaddockError, match="template"):
        room.service.send(chat, "hello", PARAMS, ChatOptions(template="{% for %}"))
    assert room.texts(chat) == ["hello"] and room.service.live_reply(chat) is None


def test_regenerate_writes_a_version_beside_the_old_ones(room: Room) -> None:
    chat = room.service.create().id
    first = room.ask(chat, "once")[1]
    room.ask(chat, "and then")
    again = room.service.regenerate(chat, first.id, PARAMS, OPTIONS)
    asked, reply = room.settle(chat)
    assert (reply.id, reply.version, reply.versions) == (again, 2, 2)
    room.service.switch(chat, again, 1)
    assert room.texts(chat) == ["once", "once", "and then", "and then"]


def test_continue_adds_a_new_version_and_keeps_the_old_one(room: Room) -> None:
    chat = room.service.create().id
    room.ask(chat, "one two three", SamplingParams(max_new_tokens=2))
    first = room.service.messages(chat)[-1]
    assert (first.text, first.meta["reason"]) == ("one two", "length")
    room.service.continue_reply(chat, PARAMS, OPTIONS)
    reply = room.settle(chat)[-1]
    assert reply.text == "one twoone two" and (reply.version, reply.versions) == (2, 2)
    room.service.switch(chat, reply.id, 1)
    assert room.service.messages(chat)[-1].text == "one two"


def test_a_live_continued_reply_has_the_text_that_it_continues(room: Room) -> None:
    chat = room.service.create().id
    room.ask(chat, "word !long", SamplingParams(max_new_tokens=3))
    room.service.continue_reply(chat, ENDLESS, OPTIONS)
    living = room.service.live_reply(chat)
    assert living is not None and raw_text(living.parts()).startswith("word !long word")
    next(living.generation.follow())
    assert room.texts(chat)[-1].startswith("word !long word")
    room.service.stop(chat)
    assert room.settle(chat)[-1].text == "word !long word" + living.generation.text


def test_stop_keeps_the_text_and_stops_no_other_chat(room: Room) -> None:
    one, two = room.service.create().id, room.service.create().id
    stopped, first = room.ask_without_end(one)
    _, second = room.ask_without_end(two)
    room.service.stop(one)
    reply = room.settle(one)[-1]
    assert reply.id == stopped and reply.text == first.text != ""
    assert reply.meta["reason"] == "cancelled" and reply.meta["stopped"] is True
    assert not second.done and room.service.live_reply(two) is not None
    room.service.stop(two)
    room.settle(two)


def test_a_second_question_during_a_reply_is_refused_and_not_stored(room: Room) -> None:
    chat = room.service.create().id
    reply, _ = room.ask_without_end(chat)
    acts: list[Callable[[], str]] = [
        lambda: room.service.send(chat, "me too", PARAMS, OPTIONS),
        lambda: room.service.regenerate(chat, reply, PARAMS, OPTIONS),
        lambda: room.service.continue_reply(chat, PARAMS, OPTIONS),
        lambda: room.service.edit(chat, reply, "mine"),
    ]
    for act in acts:
        with pytest.raises(NotSaved, match="being written"):
            act()
    assert len(room.texts(chat)) == 2
    room.service.stop(chat)
    room.service.send(chat, "at once after stop", SamplingParams(max_new_tokens=4), OPTIONS)
    assert room.settle(chat)[-1].text.split() == ["at", "once", "after", "stop"]


def test_a_page_that_comes_in_mid_answer_sees_the_text_so_far(room: Room) -> None:
    chat = room.service.create().id
    reply, generation = room.ask_without_end(chat)
    shown = room.service.messages(chat)[-1]
    assert shown.id == reply and shown.text and generation.text.startswith(shown.text)
    rest = next(generation.follow(offset=len(shown.text)))
    assert generation.text.startswith(shown.text + rest)
    room.service.stop(chat)
    assert room.settle(chat)[-1].text == generation.text


def test_editing_a_question_leaves_its_answers_with_the_old_version(room: Room) -> None:
    chat = room.service.create().id
    asked = room.ask(chat, "first try")[0]
    new = room.service.edit(chat, asked.id, "second try")
    assert room.texts(chat) == ["second try"]
    room.service.regenerate(chat, new, PARAMS, OPTIONS)
    assert [message.text for message in room.settle(chat)] == ["second try", "second try"]
    room.service.switch(chat, new, 1)
    assert room.texts(chat) == ["first try", "first try"]


def test_editing_a_reply_copies_what_follows(room: Room) -> None:
    chat = room.service.create().id
    reply = room.ask(chat, "one")[1]
    room.ask(chat, "two")
    new = room.service.edit(chat, reply.id, "better")
    assert room.texts(chat) == ["one", "better", "two", "two"]
    room.service.switch(chat, new, 1)
    assert room.texts(chat) == ["one", "one", "two", "two"]
    assert room.service.edit(chat, reply.id, "one") == reply.id, "the same text is no new version"


def test_delete_removes_what_follows_and_undelete_restores_it(room: Room) -> None:
    chat = room.service.create().id
    room.ask(chat, "one")
    asked = room.ask(chat, "two")[2]
    room.service.delete(chat, asked.id)
    assert room.texts(chat) == ["one", "one"]
    room.service.undelete(chat, asked.id)
    assert room.texts(chat) == ["one", "one", "two", "two"]


def test_deleting_a_live_reply_stops_it(room: Room) -> None:
    chat = room.service.create().id
    _, generation = room.ask_without_end(chat)
    room.service.delete(chat, room.service.messages(chat)[0].id)
    assert generation.wait(PATIENCE)
    assert room.settle(chat) == []


def test_a_branch_is_a_separate_chat(room: Room) -> None:
    chat = room.service.create().id
    reply = room.ask(chat, "one")[1]
    room.ask(chat, "two")
    branch = room.service.branch(chat, reply.id)
    assert branch.title == "one (branch)" and room.texts(branch.id) == ["one", "one"]
    room.ask(branch.id, "elsewhere")
    assert room.texts(chat) == ["one", "one", "two", "two"]
    assert [message.meta.get("model") for message in room.service.messages(branch.id)] == [None, "a-model"] * 2


def test_trash_rename_and_search(room: Room) -> None:
    one, two = room.service.create().id, room.service.create().id
    room.ask(one, "about horses")
    room.service.rename(two, "  Stables \n and paddocks ")
    assert room.service.head(two).title == "Stables and paddocks"
    assert [head.id for head in room.service.chats("horses")] == [one]
    room.service.delete_chat(one)
    assert [head.id for head in room.service.chats()] == [two]
    assert [head.id for head in room.service.trash()] == [one]
    room.service.restore_chat(one)
    assert room.texts(one) == ["about horses"] * 2


def test_listeners_get_each_change_although_one_of_them_fails(room: Room) -> None:
    chat, other = room.service.create().id, room.service.create().id
    heard: list[str] = []

    def fail() -> None:
        raise RuntimeError("a page's fault")

    ends = [
        room.service.subscribe(chat, fail),
        room.service.subscribe(chat, lambda: heard.append("this")),
        room.service.subscribe("", lambda: heard.append("any")),
    ]
    room.ask(other, "elsewhere")
    assert "this" not in heard and "any" in heard
    heard.clear()
    room.ask(chat, "many words in one question")
    assert heard.count("this") == 3, "the question, the reply's begin and its end; not each token"
    for end in ends:
        end()
    heard.clear()
    room.service.rename(chat, "silent")
    assert heard == []


def test_a_character_opens_the_prompt_and_greets(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.characters.save("Ada", Character("Ada Lovelace", "{{char}} helps {{user}}.", "Good day, {{user}}!"))
    chat = room.service.create("Ada", user="Kim").id
    (greeting,) = room.service.messages(chat)
    assert (greeting.role, greeting.text) == ("assistant", "Good day, Kim!")
    with pytest.raises(PaddockError, match="no question"):
        room.service.regenerate(chat, greeting.id, PARAMS, OPTIONS)
    options = ChatOptions(system="Be brief, {{char}}.", name1="Kim")
    asked: list[Generate] = []
    generate = room.supervisor.generate_chat

    def note(request: Generate) -> Generation:
        asked.append(request)
        return generate(request)

    monkeypatch.setattr(room.supervisor, "generate_chat", note)
    room.service.send(chat, "hello !long", ENDLESS, options)
    system, *texts = (message["content"] for message in asked[0].messages)
    assert system == "Be brief, Ada Lovelace.\n\nAda Lovelace helps Kim."
    assert texts == ["Good day, Kim!", "hello !long"]
    room.service.stop(chat)
    room.settle(chat)
    room.characters.delete("Ada")
    reply = room.ask(chat, "still there", SamplingParams(max_new_tokens=2))[-1]
    assert reply.text.strip() == "still there" and "no character named 'Ada'" in reply.meta["notes"][0]


def test_a_title_is_the_first_words_of_the_first_question(room: Room) -> None:
    assert make_title("  short\nquestion ") == "short question"
    assert make_title("this is a question that goes on and on and on") == "this is a question that goes on and on…"
    assert make_title("x" * 60) == "x" * 40 + "…"
    chat = room.service.create().id
    room.service.rename(chat, "Mine")
    room.ask(chat, "not a title")
    assert room.service.head(chat).title == "Mine"
