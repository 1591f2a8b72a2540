"""ChatGPT's export as it looks: reasoning, tools, pictures, citations, hidden messages, branches and archives."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest

from modules.chat.chat_reader import read_chat_file
from modules.chat.import_formats.values import mappings
from modules.protocol.errors import PaddockError
from tests.chat.import_formats.reading import NOW, all_texts, kinds, read_one, shown
from tests.support.pictures import RED, png

CITED = "Herons wade\ue200cite\ue202turn0search0\ue202turn0search1\ue201 at dawn【3†source】."


def node(id: str, parent: str | None, role: str, content: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a node as the export has it."""
    author = {"role": role, "name": more.pop("name", None), "metadata": {}}
    message = {
        "id": id,
        "author": author,
        "create_time": 1765672231.9,
        "update_time": None,
        "content": content,
        "status": "finished_successfully",
        "end_turn": None,
        "weight": 1.0,
        "metadata": more.pop("metadata", {}),
        "recipient": more.pop("recipient", "all"),
        "channel": more.pop("channel", None),
    }
    return {"id": id, "message": message, "parent": parent, "children": []}


def text(*parts: Any) -> dict[str, Any]:
    return {"content_type": "text", "parts": list(parts)}


def picture(id: str, prompt: str = "") -> dict[str, Any]:
    return {
        "content_type": "image_asset_pointer",
        "asset_pointer": f"sediment://{id}",
        "size_bytes": 90,
        "width": 2,
        "height": 2,
        "fovea": None,
        "metadata": {"dalle": {"gen_id": "g", "prompt": prompt} if prompt else None},
    }


def conversation() -> dict[str, Any]:
    hidden = {"is_visually_hidden_from_conversation": True}
    sources = [
        {
            "matched_text": CITED[len("Herons wade") : CITED.index(" at dawn")],
            "type": "grouped_webpages",
            "alt": " ([birds](https://birds.example))",
        }
    ]
    thoughts = [{"summary": "Counting", "content": "They asked for legs.", "chunks": [], "finished": True}]
    attached = {"attachments": [{"id": "file_1", "name": "marsh.png", "mime_type": "image/png"}, {"name": "plan.pdf"}]}
    context = {"content_type": "user_editable_context", "user_profile": "I am Ann", "user_instructions": "Be brief"}
    nodes = [
        {"id": "root", "message": None, "parent": None, "children": ["sys"]},
        node("sys", "root", "system", text(""), metadata=hidden),
        node("context", "sys", "user", context, metadata={**hidden, "is_user_system_message": True}),
        node("memory", "context", "assistant", {"content_type": "model_editable_context", "model_set_context": "x"}),
        node("q", "memory", "user", {"content_type": "multimodal_text", "parts": [picture("file_1"), "How many legs?"]},
             metadata=attached),
        node("t", "q", "assistant", {"content_type": "thoughts", "thoughts": thoughts, "source_analysis_msg_id": "y"}),
        node("recap", "t", "assistant", {"content_type": "reasoning_recap", "content": "Thought for 8s"},
             metadata={"finished_duration_sec": 8, "reasoning_status": "reasoning_ended"}),
        node("c", "recap", "assistant", {"content_type": "code", "language": "unknown", "text": "print(1 + 1)"},
             recipient="python", channel="commentary"),
        node("o", "c", "tool", {"content_type": "execution_output", "text": "2"}, name="python"),
        node("s", "o", "assistant", {"content_type": "code", "text": '{"query": "herons"}'}, recipient="web"),
        node("w", "s", "tool", {"content_type": "tether_quote", "url": "https://birds.example", "domain": "birds",
                                "text": "Two legs.", "title": "Birds"}, name="web"),
        node("a", "w", "assistant", text(CITED), metadata={"content_references": sources, "model_slug": "gpt-5"},
             channel="final"),
        node("a2", "q", "assistant", text("Two.")),
        node("q2", "a", "user", {"content_type": "multimodal_text", "parts": [
            {"content_type": "audio_transcription", "text": "Draw one", "direction": "in"},
            {"content_type": "real_time_user_audio_video_asset_pointer", "frames_asset_pointers": []}]}),
        node("d", "q2", "assistant", text('{"prompt": "a heron"}'), recipient="dalle.text2im"),
        node("p", "d", "tool", {"content_type": "multimodal_text", "parts": [picture("file_9", "a heron")]},
             name="dalle.text2im"),
    ]  # fmt: skip
    return {
        "title": "Herons",
        "create_time": 1765672200.0,
        "update_time": 1765672300.0,
        "mapping": {node["id"]: node for node in nodes},
        "moderation_results": [],
        "current_node": "p",
        "plugin_ids": None,
        "conversation_id": "c1",
        "default_model_slug": "gpt-5",
    }


def test_reasoning_and_tools_become_parts_of_the_reply() -> None:
    question, reply, *_ = shown(read_one([conversation()]))
    assert question == ("user", [("text", "[plan.pdf]\n\n[marsh.png]\n\nHow many legs?")])
    assert reply == (
        "assistant",
        [
            ("reasoning", "**Counting**\n\nThey asked for legs."),
            ("tool_call", '{"code": "print(1 + 1)"}'),
            ("tool_result", "2"),
            ("tool_call", '{"query": "herons"}'),
            ("tool_result", "Birds\nhttps://birds.example\nTwo legs."),
            ("text", "Herons wade ([birds](https://birds.example)) at dawn."),
        ],
    )


def test_the_time_of_reasoning_and_the_names_of_tools_are_kept() -> None:
    parts = read_one([conversation()]).messages[1]["parts"]
    assert parts[0]["meta"]["seconds"] == 8.0
    assert [part["meta"]["name"] for part in parts if part["kind"] == "tool_call"] == ["python", "web"]
    calls, results = (
        [part["meta"]["id"] for part in parts if part["kind"] == kind] for kind in ("tool_call", "tool_result")
    )
    assert calls == results


def test_hidden_messages_are_left_out_and_what_was_said_or_drawn_is_not() -> None:
    chat = read_one([conversation()])
    assert "Be brief" not in all_texts(chat) and "I am Ann" not in all_texts(chat)
    assert shown(chat)[2:] == [
        ("user", [("text", "Draw one")]),
        ("assistant", [("tool_call", '{"prompt": "a heron"}'), ("tool_result", "[a heron]")]),
    ]
    assert [kinds(entry) for entry in chat.messages if not entry["active"]] == [[("text", "Two.")]]


def _archive(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def test_the_archive_as_it_is_downloaded_is_read_with_its_pictures() -> None:
    drawn = png(RED, 2, 2)
    other = {**conversation(), "title": None}
    raw = _archive(
        **{
            "conversations-000.json": json.dumps([conversation()]).encode(),
            "conversations-001.json": json.dumps([other]).encode(),
            "user.json": b'{"id": "user-1"}',
            "export_manifest.json": b'{"files": []}',
            "file_1-marsh.png": drawn,
            "dalle-generations/file_9-0a1b.png": drawn,
        }
    )
    (first, second), others = read_chat_file(raw, NOW)
    assert ((first.title, second.title), others) == (("Herons", ""), 0)
    messages = [entry for entry in first.messages if entry["active"]]
    assert kinds(messages[0]) == [("image", "marsh.png"), ("text", "[plan.pdf]\n\nHow many legs?")]
    assert [kind for kind, _ in kinds(messages[-1])] == ["tool_call", "tool_result", "image"]
    assert [file["data"] for file in first.files.values()] == [drawn]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (_archive(**{"a.txt": b"x"}), "no messages"),
        (_archive(**{"a.json": b"{"}), "neither JSON"),
        (b"PK\x03\x04 and no more", "archive is damaged"),
        (_archive(**{"a.json": b"[]"})[:-30], "archive is damaged"),
    ],
)
def test_an_archive_without_a_chat_gets_a_sentence(raw: bytes, words: str) -> None:
    with pytest.raises(PaddockError, match=words):
        read_chat_file(raw, NOW)


def test_steps_without_an_answer_and_steps_in_a_circle_are_kept() -> None:
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "", "content": "Hm."}]}
    nodes = [
        node("q", None, "user", text("Why?")),
        node("t", "q", "assistant", thoughts),
        node("c", "t", "assistant", {"content_type": "code", "text": "1"}, recipient="python"),
        node("x", "y", "assistant", thoughts),
        node("y", "x", "assistant", thoughts),
    ]
    chat = read_one({"mapping": {one["id"]: one for one in nodes}, "current_node": "c"})
    assert shown(chat)[1] == (
        "assistant",
        [("reasoning", "Hm."), ("tool_call", '{"code": "1"}'), ("tool_result", "")],
    )


def test_many_steps_are_read_in_a_moment() -> None:
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "", "content": "Hm."}]}
    nodes = [node(str(n), str(n - 1), "assistant", thoughts) for n in range(4_000)]
    nodes += [node(f"a{n}", str(n), "assistant", text(str(n))) for n in range(4_000)]
    chat = read_one({"mapping": {one["id"]: one for one in nodes}})
    assert sum(len(entry["parts"]) for entry in chat.messages) < 500_000
    assert {str(n) for n in range(4_000)} <= {part["text"] for entry in chat.messages for part in entry["parts"]}


def test_an_empty_message_between_the_steps_and_the_answer_does_not_repeat_them() -> None:
    nodes = [
        node("q", None, "user", text("Why?")),
        node("t", "q", "assistant", {"content_type": "thoughts", "thoughts": [{"summary": "", "content": "Hm."}]}),
        node("e", "t", "assistant", text("")),
        node("a", "e", "assistant", text("So.")),
    ]
    chat = read_one({"mapping": {one["id"]: one for one in nodes}, "current_node": "a"})
    assert shown(chat) == [
        ("user", [("text", "Why?")]),
        ("assistant", [("reasoning", "Hm."), ("text", "So.")]),
    ]


def test_more_steps_than_one_reply_gets_are_all_kept() -> None:
    steps = [{"content_type": "thoughts", "thoughts": [{"summary": "", "content": f"Step {n}"}]} for n in range(600)]
    nodes = [node("q", None, "user", text("Why?"))]
    nodes += [node(str(n), str(n - 1) if n else "q", "assistant", step) for n, step in enumerate(steps)]
    chat = read_one({"mapping": {one["id"]: one for one in nodes}, "current_node": "599"})
    found = [words for role, parts in shown(chat) if role == "assistant" for _, words in parts]
    assert found == [f"Step {n}" for n in range(600)]


def test_the_facts_of_a_message_are_read_once_and_not_for_each_of_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[object] = []

    def counted(values: object) -> list[Mapping[str, object]]:
        reads.append(values)
        return mappings(values)

    monkeypatch.setattr("modules.chat.import_formats.chatgpt.mappings", counted)
    counts = []
    for count in (1, 100):
        reads.clear()
        parts = [part for n in range(count) for part in (f"Heron {n}", picture(f"file_{n}"))]
        read_one({"mapping": {"q": node("q", None, "user", {"content_type": "multimodal_text", "parts": parts})}})
        counts.append(len(reads))
    assert counts[0] == counts[1] > 0


def test_sounds_and_drawings_are_named_where_the_export_lacks_them() -> None:
    def spoken(*parts: object) -> dict[str, Any]:
        return {"author": {"role": "user"}, "content": {"content_type": "multimodal_text", "parts": [*parts]}}

    sound = {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://file_9"}
    words = {"content_type": "audio_transcription", "text": "A heron?"}
    drawn = {
        "author": {"role": "tool", "name": "python"},
        "content": {"content_type": "execution_output", "text": "done"},
        "metadata": {"aggregate_result": {"messages": [{"message_type": "image", "image_url": "sediment://file_8"}]}},
    }
    answer = {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["There."]}}
    messages = [spoken(sound), spoken(sound, words), drawn, answer]
    nodes = {str(n): {"parent": str(n - 1) if n else None, "message": one} for n, one in enumerate(messages)}
    chat = read_one({"mapping": nodes, "is_archived": True, "is_starred": True, "create_time": 1765672200.5})
    texts = [[text for kind, text in kinds(entry) if kind != "tool_call"] for entry in chat.messages]
    assert texts == [["[audio]"], ["A heron?"], ["done\n\n[image]", "There."]]
    assert (chat.archived, chat.pinned, chat.created) == (True, True, 1765672200.5)
