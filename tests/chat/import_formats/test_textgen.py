"""Histories of text-generation-webui as they look: versions, times, files, tools, and old ones without any."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from modules.protocol.errors import PaddockError
from tests.chat.import_formats.reading import NOW, kinds, read_one, shown
from tests.support.pictures import RED, png

PICTURE = png(RED, 2, 2)


def _history() -> dict[str, Any]:
    internal = [
        ["<|BEGIN-VISIBLE-CHAT|>", "Hello."],
        ["Legs?", "<think>\nHm.\n</think>\n\nTwo."],
        ["Why?", "Tools say 2."],
    ]
    calls = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"bird": "heron"}'}}]
    steps = [
        {"tool_calls": calls, "content": "Let me see."},
        {"role": "tool", "content": "2 legs", "tool_call_id": "c1"},
    ]
    address = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    versions = [
        {"content": "Three.", "visible_content": "Three.", "timestamp": "Jul 01, 2025 10:00"},
        {"content": internal[1][1], "visible_content": "Two.", "timestamp": "Jul 01, 2025 10:01"},
    ]
    metadata = {
        "assistant_0": {"timestamp": "Jul 01, 2025 09:59"},
        "user_1": {
            "timestamp": "Jul 01, 2025 10:00",
            "attachments": [
                {"name": "heron.png", "type": "image", "image_data": address, "image_id": 1},
                {"name": "plan.pdf", "type": "application/pdf", "content": "Build a nest."},
            ],
        },
        "assistant_1": {"timestamp": "", "model_name": "m", "versions": versions, "current_version_index": 1},
        "assistant_2": {"tool_sequence": steps, "timestamp": 5},
    }
    return {"internal": internal, "visible": [["", "Hello."], ["Legs?", "Two."], ["Why?", "x"]], "metadata": metadata}


def test_versions_times_and_reasoning_are_kept() -> None:
    chat = read_one(_history())
    assert shown(chat)[2] == ("assistant", [("reasoning", "\nHm.\n"), ("text", "Two.")])
    versions = [entry for entry in chat.messages if entry["parent"] == chat.messages[1]["id"]]
    assert [kinds(entry)[-1] for entry in versions] == [("text", "Three."), ("text", "Two.")]
    assert [entry["active"] for entry in versions] == [False, True]
    assert versions[1]["created"] - versions[0]["created"] == 60.0


def test_files_and_calls_of_tools_become_parts() -> None:
    chat = read_one(_history())
    assert shown(chat)[1] == ("user", [("image", "heron.png"), ("document", "plan.pdf"), ("text", "Legs?")])
    assert [file["data"] for file in chat.files.values()] == [PICTURE, b"Build a nest."]
    assert shown(chat)[-1] == (
        "assistant",
        [
            ("text", "Let me see."),
            ("tool_call", '{"bird": "heron"}'),
            ("tool_result", "2 legs"),
            ("text", "Tools say 2."),
        ],
    )


def test_old_histories_and_empty_halves_are_read() -> None:
    for data in ({"data": [[None, "Hello."], ["Hi", ""], ["", "Again."], [7, None]], "data_visible": []},):
        chat = read_one(data)
        assert [parts for _, parts in shown(chat)] == [
            [("text", "Hello.")],
            [("text", "Hi")],
            [("text", "Again.")],
            [("text", "7")],
        ]
        assert {entry["created"] for entry in chat.messages} == {NOW}


def test_facts_of_any_type_lose_no_text() -> None:
    history = _history()
    odd: list[Any] = [
        None,
        5,
        [],
        {"assistant_1": 5, "user_1": {"attachments": "x"}},
        {"assistant_1": {"versions": [1, {"content": 5}], "current_version_index": "x"}},
        {"assistant_2": {"tool_sequence": [{"tool_calls": [{}, 1]}, {"role": "tool"}]}},
    ]
    for facts in odd:
        texts = json.dumps(read_one({**history, "metadata": facts}).messages)
        assert all(text in texts for text in ("Hello.", "Legs?", "Two.", "Why?", "Tools say 2."))


def test_a_history_of_which_only_the_page_is_left_is_read_without_entities() -> None:
    for names in (("data_visible",), ("internal", "visible")):
        data: dict[str, Any] = dict.fromkeys(names, []) | {names[-1]: [["a &lt;b&gt;", "c"]]}
        assert shown(read_one(data)) == [("user", [("text", "a <b>")]), ("assistant", [("text", "c")])]
    with pytest.raises(PaddockError, match="no messages"):
        read_one({"internal": [], "visible": []})
