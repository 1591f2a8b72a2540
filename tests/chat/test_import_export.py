"""Chats out and in again, from Paddock's JSON and from text-generation-webui's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.ui.order.chat_list import distinct_titles
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


def test_a_copy_of_a_chat_keeps_its_creation_and_is_numbered_after_it(room: Room) -> None:
    chat = room.service.create().id
    room.service.rename(chat, "Fire")
    copies = [room.service.import_chat(room.service.export(chat)) for _ in range(9)]
    assert {head.created for head in copies} == {room.service.store.head(chat).created}
    titles = distinct_titles(room.service.store.heads())
    numbered = ["Fire", *(f"Fire ({number})" for number in range(2, 11))]
    assert [titles[one] for one in (chat, *(head.id for head in copies))] == numbered


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
        ([], "of no program"),
        ({"internal": "no"}, "of no program"),
        ({"internal": [["one"]]}, "line 1"),
        ({"internal": [["one", ["two"]]]}, "line 1"),
        (own(entry(), version=3), "newer Paddock"),
        ({"format": "paddock-chat", "version": 1}, "messages are missing"),
        (own(entry(role="tool")), "message 1"),
        (own(entry(text=None)), "message 1"),
        (own(entry(parts=[{"kind": "hologram", "text": "x"}]), version=2), "message 1"),
        (own(entry(), entry()), "message 2"),
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


def test_missing_parents_circles_and_two_roots_lose_no_message(empty: Room) -> None:
    entries = [
        entry(id="late", parent="early", text="late"),
        entry(id="early", text="early"),
        entry(id="orphan", parent="gone", text="orphan"),
        entry(id="odd", parent=["early"], text="odd"),
        entry(id="c1", parent="c2", text="c1"),
        entry(id="c2", parent="c1", text="c2"),
    ]
    chat = empty.service.import_chat(own(*entries))
    tree = empty.service.export(chat.id)["messages"]
    parents = {one["parts"][0]["text"]: one["parent"] for one in tree}
    assert set(parents) == {"late", "early", "orphan", "odd", "c1", "c2"}
    assert [text for text, parent in parents.items() if parent is None] == ["early", "orphan", "odd", "c2"]


def test_settings_folder_and_tags_survive_a_round_trip(empty: Room) -> None:
    service = empty.service
    chat = service.import_chat(own(entry(text="hello"), entry(id="b", parent="a", role="assistant", text="hi"))).id
    last = service.messages(chat)[-1].id
    settings = {"system": "<b>Be brief.</b>", "parameters": {"top_k": 5}, "summary": [{"text": "s", "upto": last}]}
    service.settings.change(chat, settings)
    service.folders.move(chat, service.folders.create("Work").id)
    service.order.tag(chat, ["one", "two"])
    service.order.pin(chat, True)
    service.order.archive(chat, True)
    service.order.rate(chat, last, -1)
    written = json.loads(json.dumps(service.export(chat)))
    service.folders.delete(service.folders.all()[0].id)
    new = service.import_chat(written)
    assert (new.tags, new.pinned, new.archived) == (("one", "two"), True, True)
    folder = service.folders.of_chat(new.id)
    assert folder is not None and folder.name == "Work"
    reply = service.messages(new.id)[-1]
    assert reply.meta == {"rating": -1}
    assert service.settings.get(new.id) == {**settings, "summary": [{"text": "s", "upto": reply.id}]}
