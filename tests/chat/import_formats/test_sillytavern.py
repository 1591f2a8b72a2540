"""SillyTavern's chats as they look: headers, swipes, reasoning, tools, media, hidden messages and groups."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from tests.chat.import_formats.reading import kinds, read_one, shown

HEAD = {
    "user_name": "Ann",
    "character_name": "Heron",
    "create_date": "2025-07-01@10h00m00s",
    "chat_metadata": {"note_prompt": "", "timedWorldInfo": {}, "variables": {}, "tainted": True, "integrity": "x"},
}


def lines(*values: dict[str, Any], end: str = "\n") -> bytes:
    return end.join(json.dumps(value, ensure_ascii=False) for value in values).encode()


def said(text: str, *, name: str = "Heron", user: bool = False, **more: Any) -> dict[str, Any]:
    facts = {"is_system": False, "send_date": "July 1, 2025 10:01am", "extra": {}}
    return {"name": name, "is_user": user, "mes": text, **facts, **more}


def test_reasoning_of_each_swipe_becomes_a_part_of_it() -> None:
    extra = {"api": "koboldcpp", "model": "m", "reasoning": "Second thought.", "reasoning_duration": 1500}
    swipe_info = [
        {"send_date": "2025-07-01T10:00:30.000Z", "extra": {"reasoning": "First thought."}},
        {"send_date": "2025-07-01T10:01:00.000Z", "extra": extra},
    ]
    reply = said("Two!", swipe_id=1, swipes=["Three.", "Two."], swipe_info=swipe_info, extra=extra,
                 gen_started="2025-07-01T10:00:59.000Z", gen_finished="2025-07-01T10:01:00.000Z")  # fmt: skip
    chat = read_one(lines(HEAD, said("Legs?", name="Ann", user=True), reply))
    assert shown(chat)[1] == ("assistant", [("reasoning", "Second thought."), ("text", "Two!")])
    assert chat.messages[2]["parts"][0]["meta"]["seconds"] == 1.5
    assert kinds(chat.messages[1]) == [("reasoning", "First thought."), ("text", "Three.")]
    assert chat.messages[1]["created"] == 1751364030.0


@pytest.mark.parametrize("choice", [{}, {"swipe_id": None}, {"swipe_id": 2}, {"swipe_id": -1}])
def test_all_swipes_are_kept_where_none_of_them_is_chosen(choice: dict[str, Any]) -> None:
    question = said("Legs?", name="Ann", user=True)
    for text, texts in (("Two.", ["Three.", "Two."]), ("Four.", ["Three.", "Two.", "Four."])):
        chat = read_one(lines(HEAD, question, said(text, swipes=["Three.", "Two."], **choice)))
        assert [kinds(entry) for entry in chat.messages[1:]] == [[("text", one)] for one in texts]
        assert shown(chat)[1:] == [("assistant", [("text", text)])]


def test_a_time_of_reasoning_that_is_no_time_is_left_out() -> None:
    for odd in (10**400, -5, float("nan"), "x"):
        reply = said("Two.", extra={"reasoning": "Hm.", "reasoning_duration": odd})
        chat = read_one(lines(HEAD, reply))
        assert shown(chat) == [("assistant", [("reasoning", "Hm."), ("text", "Two.")])]
        assert "seconds" not in chat.messages[0]["parts"][0]["meta"]


@pytest.mark.parametrize(
    "date",
    [
        "2025-07-01T10:01:00.000Z",
        1751364060,
        1751364060000,
        "1751364060000",
        "July 1, 2025 10:01am",
        "July 1, 2025 10:01 AM",
        "2025-7-1@10h01m00s",
        "2025-07-01@10h01m00s123ms",
        "2025-7-1 @10h 1m 0s 123ms",
    ],
)
def test_every_form_of_a_date_is_read(date: object) -> None:
    chat = read_one(lines({**HEAD, "create_date": date}, said("Hello.", send_date=date)))
    here = datetime(2025, 7, 1, 10, 1).timestamp()
    expected = 1751364060.0 if str(date).isdigit() or str(date).endswith("Z") else here
    assert (chat.messages[0]["created"], chat.created) == (expected, expected)


def test_new_headers_do_not_name_the_character() -> None:
    head = {"chat_metadata": {}, "user_name": "unused", "character_name": "unused"}
    assert read_one(lines(head, said("Hello."))).character == "Heron"


def test_narration_hidden_messages_and_notes_keep_who_wrote_them() -> None:
    chat = read_one(
        lines(
            HEAD,
            said("Night falls.", name="System", extra={"type": "narrator"}),
            said("I wade.", is_system=True),
            said("Hm.", name="Ann", user=True, is_system=True),
            said("A note", name="Note", is_system=True, extra={"type": "comment"}),
        )
    )
    assert [entry["role"] for entry in chat.messages] == ["system", "assistant", "user", "system"]
    assert chat.messages[0]["meta"] == {"narrator": True}


def test_tools_are_calls_and_media_are_named() -> None:
    calls = [{"id": "c1", "displayName": "Look", "name": "look", "parameters": '{"bird": "heron"}', "result": "2 legs"}]
    media = [{"url": "/user/images/Heron/pond.png", "type": "image", "title": "A pond", "source": "upload"}]
    chat = read_one(
        lines(
            HEAD,
            said(
                "Tool calls: look", name="Tool", is_system=True, extra={"isSmallSys": True, "tool_invocations": calls}
            ),
            said("See.", extra={"media": media, "media_display": "list", "inline_image": True}),
            said(
                "And this.", name="Ann", user=True, extra={"file": {"url": "/f/1.txt", "size": 5, "name": "plan.txt"}}
            ),
        )
    )
    assert shown(chat) == [
        ("assistant", [("tool_call", '{"bird": "heron"}'), ("tool_result", "2 legs")]),
        ("assistant", [("text", "[A pond]\n\n"), ("text", "See.")]),
        ("user", [("text", "[plan.txt]\n\n"), ("text", "And this.")]),
    ]


def test_a_swipe_without_facts_has_the_time_of_its_message() -> None:
    given: list[Any] = [None, [None, {"extra": None}], [{"extra": {}}], [{}, {}, {"send_date": 5}]]
    for infos in given:
        reply = said("Two.", swipes=["Two.", "Three."], swipe_id=0, swipe_info=infos, send_date=1751364060)
        times = [entry["created"] for entry in read_one(lines(HEAD, reply)).messages]
        assert times == [1751364060.0, 1751364060.0], infos


def test_all_pictures_and_the_video_of_older_versions_are_named() -> None:
    extra = {"image": "/a.png", "title": "A pond", "image_swipes": ["/a.png", "/b.png", None], "video": "/c.mp4"}
    assert shown(read_one(lines(HEAD, said("See.", extra=extra)))) == [
        ("assistant", [("text", "[A pond]\n[b.png]\n[c.mp4]\n\n"), ("text", "See.")])
    ]


def test_a_group_chat_names_its_speakers_also_without_a_header() -> None:
    talk = [
        said("Hi", name="Ann", user=True, is_name=True),
        said("Kraa.", original_avatar="Heron.png", force_avatar="/thumbnail?type=avatar&file=Heron.png"),
        said("Quack.", name="Duck", original_avatar="Duck.png"),
    ]
    for raw in (lines(*talk), lines({"chat_metadata": {}}, *talk)):
        chat = read_one(raw)
        assert [entry["meta"] for entry in chat.messages] == [{}, {"speaker": "Heron"}, {"speaker": "Duck"}]
        assert (chat.character, len(chat.messages)) == ("", 3)


def test_ends_of_lines_of_any_kind_do_not_cut_messages() -> None:
    odd = "One\u2028two\u0085three\x0bfour"
    for end in ("\n", "\r\n", "\n\n"):
        assert shown(read_one(lines(HEAD, said(odd), end=end))) == [("assistant", [("text", odd)])]


def test_a_file_that_was_cut_off_keeps_its_whole_lines() -> None:
    raw = lines(HEAD, said("First."), said("Second."))
    assert shown(read_one(raw[:-5])) == [("assistant", [("text", "First.")])]


def test_a_chat_of_one_message_is_read() -> None:
    assert shown(read_one(lines(said("Alone.")))) == [("assistant", [("text", "Alone.")])]


def test_the_note_of_a_chat_is_kept_and_a_narrator_is_no_speaker() -> None:
    head = {"user_name": "You", "character_name": "Heron", "chat_metadata": {"note_prompt": "Calm.", "note_depth": 2}}
    written: list[dict[str, Any]] = [
        head,
        {"name": "Heron", "is_user": False, "mes": "Hello"},
        {"name": "Note", "is_user": False, "mes": "A storm rises.", "extra": {"type": "narrator"}},
    ]
    for data in (lines(*written), json.dumps(written).encode()):
        chat = read_one(data)
        assert chat.settings == {"note": {"prompt": "Calm.", "depth": 2, "role": "system"}}
        assert [(entry["role"], entry["meta"]) for entry in chat.messages] == [
            ("assistant", {}),
            ("system", {"narrator": True}),
        ]
