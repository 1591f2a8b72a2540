"""Chats out and in again, from Paddock's JSON and from text-generation-webui's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from tests.chat.conftest import OPTIONS, Room


def shape(entries: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return a tree without its ids."""
    place = {entry["id"]: number for number, entry in enumerate(entries)}
    return [
        (
            place.get(entry["parent"]),
            *(entry[name] for name in ("role", "parts", "meta", "created", "deleted", "active")),
        )
        for entry in entries
    ]


def test_an_exported_tree_is_imported_with_its_shown_path(room: Room) -> None:
    chat = room.service.create().id
    reply = room.ask(chat, "one")[1]
    gone = room.ask(chat, "two")[2]
    room.service.delete(chat, gone.id)
    room.service.regenerate(chat, reply.id, SamplingParams(), OPTIONS)
    other = room.settle(chat)[-1]
    room.service.switch(chat, other.id, 1)
    written = json.loads(json.dumps(room.service.export(chat)))
    new = room.service.import_chat(written)
    assert new.id != chat and new.title == "one"
    assert shape(room.service.export(new.id)["messages"]) == shape(written["messages"])
    assert room.texts(new.id) == ["one", "one"]
    room.service.switch(new.id, room.service.messages(new.id)[1].id, 2)
    assert room.service.messages(new.id)[1].version == 2


def test_an_export_in_mid_answer_holds_the_text_so_far(room: Room) -> None:
    chat = room.service.create().id
    room.ask_without_end(chat)
    assert room.service.export(chat)["messages"][-1]["parts"]
    room.service.stop(chat)
    room.settle(chat)


def test_a_history_of_text_generation_webui_is_read(empty: Room) -> None:
    history = {
        "internal": [["<|BEGIN-VISIBLE-CHAT|>", "Hi & welcome"], ["What <b>is</b> it?", "A tag."], ["And?", ""]],
        "visible": [["", "Hi &amp; welcome"], ["What &lt;b&gt;…", "A tag."], ["And?", ""]],
        "metadata": {},
    }
    chat = empty.service.import_chat(history)
    assert chat.title == "What <b>is</b> it?"
    assert [(message.role, message.text) for message in empty.service.messages(chat.id)] == [
        ("assistant", "Hi & welcome"),
        ("user", "What <b>is</b> it?"),
        ("assistant", "A tag."),
        ("user", "And?"),
    ]


def entry(**changes: Any) -> dict[str, Any]:
    return {"id": "a", "parent": None, "role": "user", "text": "hi", "created": 1.0, "meta": {}, **changes}


def own(*entries: Any, version: int = 1) -> dict[str, Any]:
    return {"format": "paddock-chat", "version": version, "title": "", "messages": list(entries)}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "neither"),
        ({"internal": "no"}, "neither"),
        ({"internal": [["one"]]}, "line 1"),
        ({"internal": [["one", 2]]}, "line 1"),
        (own(entry(), version=3), "newer Paddock"),
        ({"format": "paddock-chat", "version": 1}, "messages are missing"),
        (own(entry(role="tool")), "message 1"),
        (own(entry(text=None)), "message 1"),
        (own(entry(parts=[{"kind": "hologram", "text": "x"}]), version=2), "message 1"),
        (own(entry(), entry()), "message 2"),
        (own(entry(parent="b")), "message 1"),
        (own(entry(), entry(id="b", parent=["a"])), "message 2"),
        (own(7), "message 1"),
    ],
)
def test_a_file_without_a_chat_is_an_error_and_makes_no_chat(empty: Room, data: Any, words: str) -> None:
    with pytest.raises(PaddockError, match=words):
        empty.service.import_chat(data)
    assert empty.service.chats() == []


def test_an_import_without_times_or_flags_takes_defaults(empty: Room) -> None:
    chat = empty.service.import_chat(own({"id": "x", "role": "user", "text": "bare"}))
    (message,) = empty.service.messages(chat.id)
    assert message.text == "bare" and message.created > 1e9 and chat.title == "bare"
