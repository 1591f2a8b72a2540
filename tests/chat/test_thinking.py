"""Reasoning in chats: stored apart, and kept by edit, continue, regenerate, branch, version, export, and a kill."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from modules.chat.messages import Message
from modules.chat.parts import REASONING, TEXT, reasoning_text
from modules.protocol.sampling import SamplingParams
from tests.chat.conftest import OPTIONS, Room

PARAMS = SamplingParams()
THOUGHT = "<think> It is day. </think> Good day."


def _kinds(message: Message) -> list[str]:
    return [part.kind for part in message.parts]


def _is_whole(message: Message) -> bool:
    return (reasoning_text(message.parts), message.text) == ("It is day.", "Good day.")


def test_a_reply_is_stored_in_parts_and_read_again_after_a_restart(room: Room) -> None:
    chat = room.service.create().id
    asked, reply = room.ask(chat, THOUGHT)
    assert _kinds(asked) == [TEXT]
    assert _kinds(reply) == [REASONING, TEXT]
    assert _is_whole(reply) and reply.raw == THOUGHT
    room.service.close()
    room.open()
    assert room.service.messages(chat)[-1].parts == reply.parts


def test_seconds_and_tokens_are_stored(room: Room) -> None:
    room.load(delay=0.02)
    chat = room.service.create().id
    _, reply = room.ask(chat, THOUGHT)
    meta = reply.parts[0].meta
    assert 0 < meta["seconds"] < 60
    # Pieces arrive in batches, so the end of the reasoning may be a word late.
    assert 4 <= meta["tokens"] <= 7


def test_an_edit_keeps_the_reasoning_and_the_old_version(room: Room) -> None:
    chat = room.service.create().id
    _, reply = room.ask(chat, THOUGHT)
    room.service.edit(chat, reply.id, "Good night.")
    edited = room.service.messages(chat)[-1]
    assert (edited.text, reasoning_text(edited.parts), edited.versions) == ("Good night.", "It is day.", 2)
    assert edited.raw == "<think> It is day. </think> Good night."
    room.service.switch(chat, edited.id, 1)
    assert _is_whole(room.service.messages(chat)[-1])
    assert room.service.edit(chat, reply.id, "Good day.") == reply.id


def test_continue_adds_to_the_answer_or_to_the_reasoning(room: Room) -> None:
    chat = room.service.create().id
    room.ask(chat, THOUGHT)
    room.service.continue_reply(chat, PARAMS, OPTIONS)
    (_, continued) = room.settle(chat)
    assert continued.raw.startswith(THOUGHT) and len(continued.raw) > len(THOUGHT)
    assert _kinds(continued) == [REASONING, TEXT]
    cut = room.ask(chat, "<think> one two three four five </think> six", replace(PARAMS, max_new_tokens=4))[-1]
    assert _kinds(cut) == [REASONING] and cut.text == "" and not cut.parts[0].closed
    room.service.continue_reply(chat, PARAMS, OPTIONS)
    more = room.settle(chat)[-1]
    assert more.raw.startswith(cut.raw) and len(more.raw) > len(cut.raw)
    assert more.parts[0].text.startswith(cut.parts[0].text)


def test_branch_regenerate_and_export_keep_the_parts(room: Room) -> None:
    chat = room.service.create().id
    _, reply = room.ask(chat, THOUGHT)
    branch = room.service.branch(chat, reply.id)
    assert room.service.messages(branch.id)[-1].parts == reply.parts
    room.service.regenerate(chat, reply.id, PARAMS, OPTIONS)
    again = room.settle(chat)[-1]
    assert _is_whole(again) and again.versions == 2
    copy = room.service.import_chat(room.service.export(chat))
    assert [message.parts for message in room.service.messages(copy.id)] == [
        message.parts for message in room.service.messages(chat)
    ]


def test_reasoning_of_earlier_turns_is_not_sent_again(room: Room) -> None:
    chat = room.service.create().id
    _, first = room.ask(chat, THOUGHT)
    _, plain = room.ask(room.service.create().id, "Good day.")
    before = room.ask(chat, "And now?")[-1].meta["prompt_tokens"]
    # The question holds the markers as the user wrote them; of the reply, only the answer is in the prompt.
    assert before < first.meta["prompt_tokens"] + len(THOUGHT.split()) + plain.meta["prompt_tokens"]


def test_a_search_finds_words_of_the_answer_and_of_the_reasoning(room: Room) -> None:
    chat = room.service.create().id
    room.ask(chat, "hello there")
    reply = room.ask(chat, "<think> aardvark </think> zebra")[-1]
    room.service.delete(chat, reply.id)
    room.service.delete(chat, reply.parent or "")
    assert not room.service.chats("aardvark")
    room.service.undelete(chat, reply.id)
    assert [head.id for head in room.service.chats("aardvark zebra")] == [chat]


def test_what_was_thought_before_a_kill_is_there_afterwards(room: Room) -> None:
    chat = room.service.create().id
    message_id, generation = room.ask_without_end(chat, "<think> on and on !long")
    reader = sqlite3.connect(f"file:{room.folder / 'chats.sqlite3'}?mode=ro", uri=True)
    pieces = generation.follow()
    query = "SELECT kind, text FROM parts WHERE message = ? AND length(text) > 7"
    while not (rows := reader.execute(query, (message_id,)).fetchall()):
        next(pieces)
    reader.close()
    assert [kind for kind, _ in rows] == [REASONING]
    assert rows[0][1].startswith(" on and")
    room.service.stop(chat)
    stopped = room.settle(chat)[-1]
    assert _kinds(stopped) == [REASONING] and not stopped.text
