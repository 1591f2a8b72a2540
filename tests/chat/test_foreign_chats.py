"""Chats of other programs, in the shapes of their exports, whole and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modules.chat.chat_files import write_html, write_markdown, write_textgen
from modules.chat.chat_reader import read_chat_file
from modules.chat.messages import ChatHead, Message
from modules.chat.parts import Part, plain
from modules.chat.store import ChatStore
from modules.protocol.errors import PaddockError
from modules.ui.chat_feed import card
from modules.ui.markdown import Markdown

NOW = 1000.0


@pytest.fixture
def store(tmp_path: Path) -> ChatStore:
    return ChatStore(tmp_path / "chats.sqlite")


def imported(store: ChatStore, data: object) -> ChatHead:
    """Import the one chat of a file with this JSON."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    (chat,), _ = read_chat_file(raw, NOW)
    return store.add_tree(chat.messages, chat.title, chat.character)


def shown(store: ChatStore, head: ChatHead) -> list[tuple[str, str, int, int]]:
    return [(entry.role, entry.text, entry.version, entry.versions) for entry in store.path(head.id)]


def test_swipes_of_sillytavern_become_versions(store: ChatStore) -> None:
    lines: list[dict[str, Any]] = [
        {"user_name": "Ann", "character_name": "Heron", "create_date": "2024-05-01@10h00m", "chat_metadata": {}},
        {"name": "Heron", "is_user": False, "mes": "Hello.", "send_date": "2024-05-01T10:00:00Z"},
        {"name": "Ann", "is_user": True, "mes": "Who are you?", "send_date": 1714557600000},
        {"name": "Heron", "is_user": False, "mes": "A bird.", "swipe_id": 1, "swipes": ["A fish.", "A bird."]},
        {"name": "Ann", "is_user": True, "mes": "I see."},
    ]
    head = imported(store, "\n".join(map(json.dumps, lines)).encode())
    assert (head.character, head.title) == ("Heron", "Who are you?")
    assert shown(store, head) == [
        ("assistant", "Hello.", 1, 1),
        ("user", "Who are you?", 1, 1),
        ("assistant", "A bird.", 2, 2),
        ("user", "I see.", 1, 1),
    ]
    assert [entry.created for entry in store.path(head.id)] == [1714557600.0, 1714557600.0, NOW, NOW]


def _node(id: str, parent: str | None, role: str, text: str, **more: Any) -> dict[str, Any]:
    content = {"content_type": "text", "parts": [text]}
    message = {"author": {"role": role}, "create_time": 5.0, "content": content, **more}
    return {"id": id, "parent": parent, "children": [], "message": message}


def chatgpt() -> dict[str, Any]:
    """Return a conversation of ChatGPT's export, with an empty root, a hidden message, a tool and a branch."""
    nodes = [
        {"id": "root", "parent": None, "message": None},
        _node("sys", "root", "system", "secret", metadata={"is_visually_hidden_from_conversation": True}),
        _node("a2", "q", "assistant", "Second."),
        _node("q", "sys", "user", "Question"),
        _node("a1", "q", "assistant", "First."),
        _node("tool", "a2", "tool", "printed"),
        _node("end", "tool", "assistant", "Last."),
    ]
    return {"title": "Herons", "mapping": {node["id"]: node for node in nodes}, "current_node": "end"}


def test_branches_of_chatgpt_are_kept_and_its_shown_path_is_shown(store: ChatStore) -> None:
    head = imported(store, [chatgpt()])
    assert head.title == "Herons"
    assert [text for _, text, *_ in shown(store, head)] == ["Question", "Second.", "Last."]
    assert shown(store, head)[1][3] == 2


def test_a_chat_of_open_webui_is_read(store: ChatStore) -> None:
    messages = {
        "1": {"id": "1", "parentId": None, "role": "user", "content": [{"type": "text", "text": "Hi"}], "timestamp": 7},
        "2": {"id": "2", "parentId": "1", "role": "assistant", "content": "One"},
        "3": {"id": "3", "parentId": "1", "role": "assistant", "content": "Two"},
    }
    entry = {"id": "x", "title": "Birds", "chat": {"history": {"messages": messages, "currentId": "2"}}}
    head = imported(store, [entry])
    assert (head.title, shown(store, head)) == ("Birds", [("user", "Hi", 1, 1), ("assistant", "One", 1, 2)])


def test_a_list_of_messages_is_read(store: ChatStore) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    for data in (messages, {"messages": messages}):
        assert [text for _, text, *_ in shown(store, imported(store, data))] == ["Hi", "Ho"]


def test_calls_of_tools_in_a_list_become_parts_of_the_reply_after_them(store: ChatStore) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"bird": "heron"}'}}
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Legs?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "2 legs"},
        {"role": "assistant", "content": "Two."},
        {"role": "assistant", "content": "Again?", "tool_calls": [call]},
    ]
    path = store.path(imported(store, messages).id)
    assert [(entry.role, [(part.kind, part.text) for part in entry.parts]) for entry in path] == [
        ("system", [("text", "Be brief.")]),
        ("user", [("text", "Legs?")]),
        ("assistant", [("tool_call", '{"bird": "heron"}'), ("tool_result", "2 legs"), ("text", "Two.")]),
        ("assistant", [("text", "Again?"), ("tool_call", '{"bird": "heron"}'), ("tool_result", "")]),
    ]


SURROGATE = "\ud800"


def test_halves_of_letters_lose_no_chat(store: ChatStore) -> None:
    own = {
        "format": "paddock-chat",
        "version": 2,
        "title": SURROGATE,
        "character": SURROGATE,
        "messages": [{"id": "1", "role": "user", "text": SURROGATE, "meta": {"speaker": SURROGATE}}],
    }
    for data in (own, [{"role": "user", "content": SURROGATE}], {**chatgpt(), "title": SURROGATE}):
        head = imported(store, data)
        store.rename(head.id, SURROGATE)
        assert store.head(head.id).title == "?" and store.heads(SURROGATE)


def test_facts_and_times_of_any_type_are_left_out() -> None:
    odd: list[Any] = [10**400, -5, True, [], {}, "x", None]
    names = ("left_out", "notes", "passages", "receipt", "error", "decode_seconds", "rating", "lower", "context")
    for value in odd:
        message = {"id": "1", "role": "assistant", "text": "a", "created": value, "meta": dict.fromkeys(names, value)}
        raw = json.dumps({"format": "paddock-chat", "version": 2, "messages": [message]}).encode()
        (chat,), _ = read_chat_file(raw, NOW)
        (entry,) = chat.messages
        assert entry["created"] == NOW
        card(Message("1", None, "assistant", plain("a"), NOW, meta=entry["meta"]), Markdown())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_other_encodings_are_read(store: ChatStore, encoding: str) -> None:
    raw = '[{"role": "user",\r\n "content": "h\u00f6rst du"}]\r\n'.encode(encoding)
    assert shown(store, imported(store, raw)) == [("user", "h\u00f6rst du", 1, 1)]


def test_what_lacks_a_parent_or_stands_in_a_circle_is_not_lost(store: ChatStore) -> None:
    nodes = [
        _node("a", "gone", "user", "A"),
        _node("b", "a", "assistant", "B"),
        _node("c", "d", "user", "C"),
        _node("d", "c", "assistant", "D"),
        _node("e", None, "user", "E"),
    ]
    head = imported(store, {"mapping": {node["id"]: node for node in nodes}, "current_node": "b"})
    assert [text for _, text, *_ in shown(store, head)] == ["A", "B"]
    assert sorted(part["text"] for entry in store.tree(head.id) for part in entry["parts"]) == ["A", "B", "C", "D", "E"]


def test_a_long_chat_is_read_in_a_moment(store: ChatStore) -> None:
    count = 20_000
    nodes = [_node(str(n), str(n - 1), "user", "x") for n in reversed(range(count))]
    (chat,), _ = read_chat_file(json.dumps({"mapping": {node["id"]: node for node in nodes}}).encode(), NOW)
    assert len(chat.messages) == count


def test_a_broken_chat_among_others_is_counted() -> None:
    found, others = read_chat_file(json.dumps([chatgpt(), {"mapping": {}}, 7]).encode(), NOW)
    assert ([chat.title for chat in found], others) == (["Herons"], 2)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\xff\xfe", "neither JSON"),
        (b"{", "neither JSON"),
        (b'{"a": 1}\n{"b": 2}', "neither JSON"),
        (b"[" * 100_000, "neither JSON"),
        (b"[" + b"[]," * 100_000 + b"[]]", "more than 100,000 chats"),
        (b"7", "cannot be read as a chat"),
        (b"[]", "no messages"),
        (b'[{"mapping": {}}]', "no messages"),
        (b'{"mapping": {"a": {"message": {"author": 1, "content": []}}}}', "no messages"),
        (b'{"user_name": "A"}\n[1]\n{"mes": [5]}', "no messages"),
        (b'[{"chat": {"history": {"messages": [1]}}}]', "no messages"),
    ],
)
def test_a_file_without_a_chat_gets_a_sentence(raw: bytes, words: str) -> None:
    with pytest.raises(PaddockError, match=words):
        read_chat_file(raw, NOW)


HEAD = ChatHead("1", "A <title>", 0.0, "Heron")
PATH = [
    Message("0", None, "assistant", plain("Hello."), 0.0),
    Message("1", "0", "user", plain("<script>alert(1)</script>"), 0.0),
    Message("2", "1", "assistant", plain("**Yes** [x](javascript:alert(1)) ![i](http://a/b.png)"), 0.0),
]


def test_html_shows_messages_and_runs_nothing() -> None:
    page = write_html(HEAD, PATH)
    assert "<title>A &lt;title&gt;</title>" in page
    assert "<strong>Yes</strong>" in page
    assert "<script>" not in page and 'href="javascript' not in page
    assert "default-src 'none'" in page


def test_markdown_names_the_speakers() -> None:
    assert write_markdown(HEAD, PATH).startswith("# A <title>\n\n## Heron\n\nHello.\n\n## You\n\n<script>")


def test_a_textgen_history_is_read_again(store: ChatStore) -> None:
    head = imported(store, write_textgen(HEAD, PATH).encode())
    assert [text for _, text, *_ in shown(store, head)] == [message.text for message in PATH]


def test_a_shared_page_has_its_pictures_inside_and_escapes_their_names() -> None:
    image = Part("image", '"><script>1</script>.png', {"hash": "a" * 64, "mime": "image/png"})
    message = Message("0", None, "user", (image, *plain("look")), 0.0)
    page = write_html(HEAD, [message], {"a" * 64: "data:image/png;base64,AAAA"})
    assert '<img src="data:image/png;base64,AAAA" alt="&quot;&gt;&lt;script&gt;1&lt;/script&gt;.png">' in page
    assert "<script" not in page and "prefers-color-scheme: dark" in page
    assert "<img" not in write_html(HEAD, [message])


def test_what_is_written_for_text_generation_webui_is_read_again(store: ChatStore) -> None:
    head = imported(store, json.loads(write_textgen(HEAD, PATH)))
    assert [(role, text) for role, text, *_ in shown(store, head)] == [(message.role, message.text) for message in PATH]
